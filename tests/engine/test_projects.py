"""Projects on the real engine: runs of two projects with the same names get their own project's values only."""

from collections.abc import Iterator
from hashlib import sha256

import httpx
import pytest

from tests.engine.server import Server, manage

MAKE_MEMBER = """
from cronium_admin.accounts.models import ApiToken, Membership, Project, User
project = Project.objects.create(name="South", slug="south")
user = User.objects.create(username="member", role="")
Membership.objects.create(user=user, project=project, role="admin")
print(ApiToken.mint(user, "tests")[1])
"""
# The digest, because the value itself is masked; the value of the other project would not be.
SCRIPT = """
printf %s "$API_KEY" | sha256sum | cut -d' ' -f1
echo "the value is $API_KEY"
echo "before: $(cronium_get_variable shared/owner)"
cronium_set_variable shared/owner "\\"$OWNER\\""
echo "after: $(cronium_get_variable shared/owner)"
"""


@pytest.fixture
def member(server: Server) -> Iterator[httpx.Client]:
    token = manage(server.env, "shell", "-v", "0", "-c", MAKE_MEMBER).strip().splitlines()[-1]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=server.url + "/api/v1", headers=headers, timeout=30) as client:
        yield client


def test_same_names_never_mix(server: Server, member: httpx.Client) -> None:
    values = {"default": "the-value-of-default", "south": "the-value-of-south"}
    clients = {"default": server.client, "south": member}
    runs = {}
    for name, client in clients.items():
        assert client.put("/secrets/API_KEY", json={"value": values[name]}).status_code == 201
        job = {"name": "Twin", "slug": "twin", "language": "bash", "script": SCRIPT, "secrets": ["API_KEY"]}
        assert client.post("/jobs", json={**job, "env": {"OWNER": name}}).status_code == 201
    for name, client in clients.items():
        runs[name] = str(client.post("/jobs/twin/runs").json()["id"])
    for name, run_id in runs.items():
        assert server.ended(run_id)["status"] == "succeeded", server.text(run_id)
        lines = clients[name].get(f"/runs/{run_id}/logs.txt").text.splitlines()
        assert lines[0] == sha256(values[name].encode()).hexdigest()
        assert lines[1:] == ["the value is ***", "before: null", f'after: "{name}"']
        assert clients[name].get("/variables/shared/owner").json()["value"] == name
    for path in ("", "/logs", "/logs.txt", "/logs/follow", "/sandbox"):
        assert member.get(f"/runs/{runs['default']}{path}").status_code == 404, path
    assert [run["id"] for run in member.get("/runs").json()["items"]] == [runs["south"]]
