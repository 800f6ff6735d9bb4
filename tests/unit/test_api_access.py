"""Each route against each role, and the ways to say who one is."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cronium_admin.access.models import ApiToken, User
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.runtime import variables
from cronium_admin.secrets.models import Secret
from tests.conftest import ROLES, Api

JOB = {"name": "New", "language": "bash", "script": "true"}
PROFILE = {"name": "tiny", "cpu": 0.1, "memory_mb": 64, "pids": 20}
# method, path, body, the least role that may, and the status it gets
ROUTES: list[tuple[str, str, Any, str, int]] = [
    ("GET", "/jobs", None, "viewer", 200),
    ("POST", "/jobs", JOB, "editor", 201),
    ("GET", "/jobs/report", None, "viewer", 200),
    ("PATCH", "/jobs/report", {"enabled": False}, "editor", 200),
    ("DELETE", "/jobs/idle", None, "editor", 204),
    ("POST", "/jobs/report/runs", None, "operator", 202),
    ("GET", "/runs", None, "viewer", 200),
    ("GET", "/runs/{run}", None, "viewer", 200),
    ("GET", "/runs/{run}/sandbox", None, "viewer", 200),
    ("GET", "/runs/{run}/output", None, "viewer", 200),
    ("GET", "/runs/{run}/logs", None, "viewer", 200),
    ("GET", "/runs/{run}/logs.txt", None, "viewer", 200),
    ("POST", "/runs/{run}/cancel", None, "operator", 202),
    ("POST", "/runs/{run}/rerun", None, "operator", 202),
    ("GET", "/hosts", None, "viewer", 200),
    ("GET", "/images", None, "viewer", 200),
    ("GET", "/images/python", None, "viewer", 200),
    ("PUT", "/images/python", {"reference": "my/python:1"}, "admin", 200),
    ("DELETE", "/images/python", None, "admin", 204),
    ("GET", "/profiles", None, "viewer", 200),
    ("POST", "/profiles", PROFILE, "admin", 201),
    ("GET", "/profiles/small", None, "viewer", 200),
    ("PATCH", "/profiles/small", {"pids": 50}, "admin", 200),
    ("DELETE", "/profiles/large", None, "admin", 204),
    ("GET", "/variables", None, "viewer", 200),
    ("GET", "/variables/shared/day", None, "viewer", 200),
    ("GET", "/variables/shared/day/history", None, "viewer", 200),
    ("PUT", "/variables/shared/day", {"value": 1}, "editor", 200),
    ("DELETE", "/variables/shared/day", None, "editor", 204),
    ("GET", "/secrets", None, "viewer", 200),
    ("GET", "/secrets/API_KEY", None, "viewer", 200),
    ("PUT", "/secrets/API_KEY", {"value": "a new value"}, "admin", 200),
    ("DELETE", "/secrets/API_KEY", None, "admin", 204),
]


@pytest.mark.parametrize("role", [None, *ROLES])
@pytest.mark.parametrize(("method", "path", "body", "least", "status"), ROUTES)
def test_each_role_gets_what_its_rank_allows(
    role: str | None,
    method: str,
    path: str,
    body: Any,
    least: str,
    status: int,
    people: dict[str, User],
    make_job: Callable[..., Job],
    run: Run,
) -> None:
    make_job(slug="idle", name="Idle")
    variables.put(variables.Place(None, "day"), 1, variables.Author())
    Secret.objects.create(name="API_KEY")
    Run.objects.update(output=1, output_at=timezone.now())
    answer = Api(people[role] if role else None).call(method, path.format(run=run.pk), body)
    if role is None:
        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthenticated"
        assert answer["WWW-Authenticate"].startswith("Bearer")
    elif ROLES.index(role) < ROLES.index(least):
        assert answer.status_code == 403
        assert answer.json()["code"] == "forbidden"
        assert {"viewer": "Viewer", "operator": "Operator", "editor": "Editor", "admin": "Administrator"}[
            least
        ] in answer.json()["detail"]
    else:
        assert answer.status_code == status, answer.content


def test_every_route_of_the_description_is_in_the_table_above() -> None:
    from cronium_admin.api import api

    known = {(method, path.format(run="{run_id}")) for method, path, *_ in ROUTES}
    for old, new in {
        "report": "{slug}",
        "idle": "{slug}",
        "python": "{language}",
        "small": "{name}",
        "API_KEY": "{name}",
    }.items():
        known = {(method, path.replace(f"/{old}", f"/{new}")) for method, path in known}
    known = {(method, path.replace("/large", "/{name}")) for method, path in known}
    known = {(method, path.replace("/shared/day", "/{scope}/{name}")) for method, path in known}
    described = {
        (method.upper(), path.removeprefix("/api/v1"))
        for path, item in api.get_openapi_schema()["paths"].items()
        for method in item
        if not path.endswith("/health")
    }
    assert described == known


def test_a_refused_request_changes_nothing(viewer: Api, job: Job, nothing_stored: None) -> None:
    for method, path, body, *_ in ROUTES:
        if method != "GET" and "{run}" not in path:
            assert viewer.call(method, path, body).status_code == 403


def test_health_is_open(stranger: Api) -> None:
    assert stranger.get("/health").json()["status"] == "ok"


class TestToken:
    def test_is_kept_as_a_digest_only(self, people: dict[str, User]) -> None:
        row, token = ApiToken.mint(people["viewer"], "ci")
        kept = " ".join(str(value) for value in ApiToken.objects.values().get(pk=row.pk).values())
        assert token not in kept
        assert token[10:] not in kept

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"revoked_at": timezone.now()}, "token_revoked"),
            ({"expires_at": timezone.now() - timedelta(seconds=1)}, "token_expired"),
        ],
    )
    def test_that_has_ended_is_refused(self, viewer: Api, change: dict[str, Any], code: str) -> None:
        assert viewer.get("/jobs").status_code == 200
        ApiToken.objects.update(**change)
        answer = viewer.get("/jobs")
        assert (answer.status_code, answer.json()["code"]) == (401, code)

    def test_that_expires_later_works(self, viewer: Api) -> None:
        ApiToken.objects.update(expires_at=timezone.now() + timedelta(hours=1))
        assert viewer.get("/jobs").status_code == 200

    def test_of_an_inactive_person_is_refused(self, admin: Api) -> None:
        User.objects.update(is_active=False)
        answer = admin.get("/jobs")
        assert (answer.status_code, answer.json()["code"]) == (401, "user_inactive")

    @pytest.mark.parametrize(
        "value", ["Bearer", "Bearer ", "Bearer nonsense", "Bearer crn_wrong", "bearer crn_x y", "Basic eDp5"]
    )
    def test_nonsense_is_401_and_no_500(self, db: None, value: str) -> None:
        answer = Client().get("/api/v1/jobs", headers={"Authorization": value})
        assert answer.status_code == 401
        assert answer.json()["fields"] == {}

    def test_a_wrong_token_is_refused_even_beside_a_good_session(self, people: dict[str, User]) -> None:
        client = Client()
        client.force_login(people["admin"])
        assert client.get("/api/v1/jobs", headers={"Authorization": "Bearer crn_wrong"}).status_code == 401

    def test_use_is_noted_at_most_once_a_minute(self, viewer: Api, django_assert_num_queries: Any) -> None:
        viewer.get("/jobs")
        first = ApiToken.objects.get().last_used_at
        assert first is not None
        viewer.get("/jobs")
        assert ApiToken.objects.get().last_used_at == first
        old = timezone.now() - timedelta(minutes=2)
        ApiToken.objects.update(last_used_at=old)
        viewer.get("/jobs")
        noted = ApiToken.objects.get().last_used_at
        assert noted is not None
        assert noted > old


class TestSession:
    @pytest.fixture
    def signed_in(self, people: dict[str, User]) -> Client:
        client = Client(enforce_csrf_checks=True)
        client.force_login(people["editor"])
        return client

    def test_may_read(self, signed_in: Client) -> None:
        assert signed_in.get("/api/v1/jobs").status_code == 200

    def test_may_not_write_without_the_csrf_token(self, signed_in: Client, nothing_stored: None) -> None:
        answer = signed_in.post("/api/v1/jobs", JOB, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")

    def test_writes_with_the_csrf_token(self, signed_in: Client) -> None:
        secret = "a" * 32
        signed_in.cookies["csrftoken"] = secret
        answer = signed_in.post("/api/v1/jobs", JOB, content_type="application/json", headers={"X-CSRFToken": secret})
        assert answer.status_code == 201
        assert Job.objects.get().created_by is not None

    def test_of_a_person_switched_off_ends(self, signed_in: Client) -> None:
        User.objects.update(is_active=False)
        assert signed_in.get("/api/v1/jobs").status_code == 401

    def test_a_strangers_write_is_401_and_not_a_csrf_riddle(self, db: None) -> None:
        answer = Client(enforce_csrf_checks=True).post("/api/v1/jobs", JOB, content_type="application/json")
        assert answer.status_code == 401
