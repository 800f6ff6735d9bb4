"""Saved views of the list of jobs: one's own, those of a team, and the default."""

from collections.abc import Callable

import pytest
from django.test import Client

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs import view_service
from cronium_admin.jobs.list_models import JobView
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.view_service import list_views
from tests.conftest import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def south() -> Project:
    return Project.objects.create(name="South", slug="south")


@pytest.fixture
def join(south: Project) -> Callable[[str], User]:
    """Makes a member of the project, with a role in it."""

    def make(role: str) -> User:
        user = User.objects.create(username=f"south-{role}", role="")
        Membership.objects.create(user=user, project=south, role=role)
        return user

    return make


def test_ones_own_view_is_seen_by_nobody_else(people: dict[str, User]) -> None:
    viewer, admin = Api(people["viewer"]), Api(people["admin"])
    made = viewer.post("/job-views", {"name": "Late", "query": {"state": "failing", "tag": "Bad Tag", "x": "y"}}).json()
    assert (made["query"], made["project"], made["version"]) == ({"state": "failing"}, None, 1)
    assert [view["name"] for view in viewer.get("/job-views").json()["items"]] == ["Late"]
    assert admin.get("/job-views").json()["items"] == []
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        assert admin.call(method, f"/job-views/{made['id']}", body).status_code == 404
    assert viewer.call("PATCH", f"/job-views/{made['id']}", {"name": "Later", "version": 1}).json()["version"] == 2
    assert viewer.delete(f"/job-views/{made['id']}?version=1").status_code == 409
    assert viewer.delete(f"/job-views/{made['id']}").status_code == 204


def test_a_teams_view_is_changed_by_its_editors(join: Callable[[str], User], people: dict[str, User]) -> None:
    editor, operator = Api(join("editor")), Api(join("operator"))
    body = {"name": "Ours", "query": {"q": "a"}, "project": "south"}
    assert operator.post("/job-views", body).status_code == 403
    made = editor.post("/job-views", body).json()
    assert made["project"] == "south"
    path = f"/job-views/{made['id']}"
    assert operator.get(path).json()["name"] == "Ours"
    assert operator.call("PATCH", path, {"name": "x"}).status_code == 403
    assert operator.delete(path).status_code == 403
    assert operator.call("PUT", f"{path}/default").status_code == 204
    stranger = User.objects.create(username="stranger", role="")
    assert Api(stranger).get(path).status_code == 404
    assert Api(stranger).post("/job-views", body).status_code == 404
    assert Api(people["viewer"]).get(path).status_code == 200
    assert editor.call("PATCH", path, {"query": {"sort": "name"}}).json()["query"] == {"sort": "name"}


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 61])
def test_names_are_checked(admin: Api, name: str) -> None:
    answer = admin.post("/job-views", {"name": name, "query": {}})
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["name"])


def test_a_name_is_taken_once(admin: Api, people: dict[str, User]) -> None:
    assert admin.post("/job-views", {"name": "A", "query": {}}).status_code == 201
    answer = admin.post("/job-views", {"name": "A", "query": {}})
    assert (answer.status_code, answer.json()["fields"]["name"]) == (422, ["There is a view with the name A already."])
    assert admin.post("/job-views", {"name": "A", "query": {}, "project": "default"}).status_code == 201
    assert Api(people["viewer"]).post("/job-views", {"name": "A", "query": {}}).status_code == 201


def test_the_list_saves_a_view_and_opens_with_the_default(client: Client, job: Job, people: dict[str, User]) -> None:
    client.force_login(people["viewer"])
    listed = client.get("/jobs/?state=never").content.decode()
    assert '<input type="hidden" name="filter" value="state=never">' in listed
    assert "Everyone in" not in listed
    form = {"name": "New ones", "filter": "state=never&page=7", "default": "on"}
    assert client.post("/job-views/new/", form)["Location"] == "/jobs/?state=never"
    assert client.get("/jobs/")["Location"] == "/jobs/?state=never"
    listed = client.get("/jobs/?state=never").content.decode()
    assert '<a href="/jobs/?state=never" aria-current="page">New ones</a>' in listed
    assert client.get("/jobs/?sort=failing").status_code == 200
    view = JobView.objects.get()
    assert [each.is_default for each in list_views(people["viewer"])] == [True]
    client.post(f"/job-views/{view.pk}/default/", {"default": "off"})
    assert client.get("/jobs/").status_code == 200
    client.post(f"/job-views/{view.pk}/", {"name": "<b>", "version": "1"})
    assert 'value="&lt;b&gt;"' in client.get("/job-views/").content.decode()
    client.post(f"/job-views/{view.pk}/delete/", {"version": "2"})
    assert not JobView.objects.exists()
    assert "No views yet" in client.get("/job-views/").content.decode()


def test_an_editor_saves_for_the_team(client: Client, job: Job, people: dict[str, User]) -> None:
    client.force_login(people["editor"])
    assert "Everyone in Default" in client.get("/jobs/?state=never").content.decode()
    client.post("/job-views/new/", {"name": "Team", "filter": "state=ok", "project": "default"})
    client.force_login(people["viewer"])
    assert '<a href="/jobs/?state=ok" title="Of the project Default">Team</a>' in client.get("/jobs/").content.decode()
    rows = client.get("/job-views/").content.decode()
    assert "the project Default" in rows
    assert "Rename</button>" not in rows
    refused = client.post("/job-views/new/", {"name": "X", "filter": "", "project": "default"})
    assert refused.status_code == 403


def test_a_view_that_is_not_saved_keeps_what_was_typed(
    client: Client, job: Job, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(people["editor"])
    sent = {"name": "<b>" * 30, "filter": "state=never", "project": "default", "default": "on"}
    answer = client.post("/job-views/new/", sent)
    text = answer.content.decode()
    assert answer.status_code == 422
    for shown in (
        '<details class="menu push" open>',
        f'value="{"&lt;b&gt;" * 30}"',
        '<option value="default" selected>',
        'name="default" value="on" checked>',
        '<input type="hidden" name="filter" value="state=never">',
        "The view was not saved. The name has 90 characters; at most 60 are allowed.",
    ):
        assert shown in text, shown
    monkeypatch.setattr(view_service, "MAX_VIEWS", 0)
    answer = client.post("/job-views/new/", {"name": "One more", "filter": ""})
    assert (answer.status_code, 'value="One more"' in answer.content.decode()) == (409, True)
    client.force_login(people["viewer"])
    answer = client.post("/job-views/new/", {**sent, "name": "Mine"})
    assert (answer.status_code, "You need the role Editor" in answer.content.decode()) == (403, True)
    assert not JobView.objects.exists()
