"""Each route with each role, and the ways to authenticate."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.expectations.check_models import Check
from cronium_admin.expectations.models import Incident
from cronium_admin.jobs.models import Job, JobView
from cronium_admin.registries.models import ImagePolicy
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import Calendar, Occurrence, Schedule
from cronium_admin.secrets.crypto import encrypt
from cronium_admin.secrets.models import Secret
from cronium_admin.variables import service
from cronium_admin.workers.hosts.models import Host
from executor.run import tokens
from tests.conftest import ROLES, Api
from tests.custom_images import make_ready_image
from tests.users import get_admin

JOB = {"name": "New", "language": "bash", "script": "true"}
RECIPE = {"base": "python", "python": ["requests"]}
PROFILE = {"name": "tiny", "cpu": 0.1, "memory_mb": 64, "pids": 20}
# method, path, body, the least role that may, and the status it gets
ROUTES: list[tuple[str, str, Any, str, int]] = [
    ("GET", "/jobs", None, "viewer", 200),
    ("POST", "/jobs", JOB, "editor", 201),
    ("GET", "/jobs/report", None, "viewer", 200),
    ("GET", "/jobs/report/advice", None, "viewer", 200),
    ("PATCH", "/jobs/report", {"enabled": False}, "editor", 200),
    ("DELETE", "/jobs/idle", None, "editor", 204),
    ("GET", "/jobs/report/revisions", None, "viewer", 200),
    ("GET", "/jobs/report/revisions/1", None, "viewer", 200),
    ("POST", "/jobs/report/revisions/1/restore", None, "editor", 200),
    ("PUT", "/jobs/report/pin", None, "viewer", 204),
    ("DELETE", "/jobs/report/pin", None, "viewer", 204),
    ("POST", "/jobs/report/runs", None, "operator", 202),
    ("GET", "/runs", None, "viewer", 200),
    ("GET", "/runs/{run}", None, "viewer", 200),
    ("GET", "/runs/{run}/sandbox", None, "viewer", 200),
    ("GET", "/runs/{run}/output", None, "viewer", 200),
    ("GET", "/runs/{run}/waiting", None, "viewer", 200),
    ("GET", "/runs/{run}/logs", None, "viewer", 200),
    ("GET", "/runs/{run}/logs/find", None, "viewer", 200),
    ("GET", "/runs/{run}/logs/follow", None, "viewer", 200),
    ("GET", "/runs/{run}/logs.txt", None, "viewer", 200),
    ("GET", "/logs/search", None, "viewer", 200),
    ("GET", "/runs/{run}/receipt", None, "viewer", 200),
    ("GET", "/runs/{run}/compare?with={run}", None, "viewer", 422),
    ("GET", "/runs/{run}/compare/log?with={run}", None, "viewer", 422),
    ("POST", "/runs/{run}/cancel", None, "operator", 202),
    ("POST", "/runs/{run}/rerun", None, "operator", 202),
    ("POST", "/run-acts", {"act": "cancel", "filter": "status=live"}, "operator", 200),
    ("POST", "/job-acts", {"act": "run", "jobs": ["report"]}, "operator", 200),
    ("DELETE", "/runs/{ended}", None, "editor", 204),
    ("DELETE", "/runs?job=report", None, "admin", 200),
    ("GET", "/hosts", None, "viewer", 200),
    ("PATCH", "/hosts/east", {"draining": True}, "admin", 200),
    ("DELETE", "/hosts/east", None, "admin", 204),
    ("GET", "/queues", None, "viewer", 200),
    ("GET", "/queues/default", None, "viewer", 200),
    ("PATCH", "/queues/default", {"max_running": 4}, "admin", 200),
    ("GET", "/images", None, "viewer", 200),
    ("GET", "/images/python", None, "viewer", 200),
    ("PUT", "/images/python", {"reference": "my/python:1"}, "admin", 200),
    ("DELETE", "/images/python", None, "admin", 204),
    ("GET", "/images/policies", None, "viewer", 200),
    ("GET", "/images/policies/ubuntu", None, "viewer", 200),
    ("PUT", "/images/policies/ubuntu", {"policy": "never"}, "admin", 200),
    ("DELETE", "/images/policies/ubuntu", None, "admin", 204),
    ("GET", "/registries", None, "viewer", 200),
    ("POST", "/registries", {"address": "ghcr.io/acme"}, "admin", 201),
    ("GET", "/registries/1", None, "viewer", 200),
    ("PATCH", "/registries/1", {"may_push": True}, "admin", 200),
    ("DELETE", "/registries/1", None, "admin", 204),
    ("POST", "/registries/1/check", None, "admin", 202),
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
    ("GET", "/metrics", None, "viewer", 200),
    ("GET", "/secrets", None, "viewer", 200),
    ("GET", "/secrets/API_KEY", None, "viewer", 200),
    ("PUT", "/secrets/API_KEY", {"value": "a new value"}, "admin", 200),
    ("DELETE", "/secrets/API_KEY", None, "admin", 204),
    ("GET", "/custom-images", None, "viewer", 200),
    ("POST", "/custom-images", {"name": "more", "recipe": RECIPE}, "editor", 201),
    ("POST", "/custom-images/suggestions", {"language": "bash", "script": "true"}, "editor", 200),
    ("GET", "/custom-images/reports", None, "viewer", 200),
    ("PATCH", "/custom-images/reports", {"description": "other"}, "editor", 200),
    ("DELETE", "/custom-images/reports", None, "editor", 204),
    ("POST", "/custom-images/reports/builds", None, "editor", 202),
    ("GET", "/custom-images/reports/versions", None, "viewer", 200),
    ("GET", "/custom-images/reports/versions/1", None, "viewer", 200),
    ("PATCH", "/custom-images/reports/versions/1", {"pinned": True}, "editor", 200),
    ("DELETE", "/custom-images/reports/versions/1", None, "editor", 204),
    ("GET", "/custom-images/reports/versions/1/sbom", None, "viewer", 200),
    ("GET", "/schedules", None, "viewer", 200),
    ("POST", "/schedules/preview", {"rule": "0 2 * * *"}, "viewer", 200),
    ("GET", "/schedules/week", None, "viewer", 200),
    ("GET", "/schedules/downtime", None, "viewer", 200),
    ("GET", "/jobs/report/schedules", None, "viewer", 200),
    ("POST", "/jobs/report/schedules", {"name": "more", "rule": "0 2 * * *"}, "editor", 201),
    ("GET", "/schedules/1", None, "viewer", 200),
    ("PATCH", "/schedules/1", {"enabled": False}, "editor", 200),
    ("DELETE", "/schedules/1", None, "editor", 204),
    ("GET", "/schedules/1/occurrences", None, "viewer", 200),
    ("POST", "/schedules/1/run-missed", None, "operator", 202),
    ("GET", "/calendars", None, "viewer", 200),
    ("POST", "/calendars", {"name": "more", "weekdays": ["sun"]}, "admin", 201),
    ("GET", "/calendars/berlin", None, "viewer", 200),
    ("PATCH", "/calendars/berlin", {"country": ""}, "admin", 200),
    ("DELETE", "/calendars/berlin", None, "admin", 204),
    ("POST", "/scripts/check", {"language": "bash", "script": "true"}, "editor", 200),
    ("POST", "/scripts/format", {"language": "bash", "script": "true"}, "editor", 200),
    ("POST", "/crontab/preview", {"text": "0 2 * * * true"}, "editor", 200),
    ("POST", "/crontab/import", {"text": "0 2 * * * true"}, "editor", 200),
    ("GET", "/incidents", None, "viewer", 200),
    ("GET", "/incidents/1", None, "viewer", 200),
    ("GET", "/job-views", None, "viewer", 200),
    ("POST", "/job-views", {"name": "more", "query": {"state": "failing"}}, "viewer", 201),
    ("GET", "/job-views/1", None, "viewer", 200),
    ("PATCH", "/job-views/1", {"name": "other"}, "editor", 200),
    ("DELETE", "/job-views/1", None, "editor", 204),
    ("PUT", "/job-views/1/default", None, "viewer", 204),
    ("DELETE", "/job-views/1/default", None, "viewer", 204),
    ("GET", "/checks", None, "viewer", 200),
    ("POST", "/checks", {"name": "more", "period_seconds": 3600}, "editor", 201),
    ("GET", "/checks/1", None, "viewer", 200),
    ("PATCH", "/checks/1", {"enabled": False}, "editor", 200),
    ("DELETE", "/checks/1", None, "editor", 204),
    ("POST", "/checks/1/rotate", None, "editor", 200),
    ("GET", "/checks/1/pings", None, "viewer", 200),
    ("GET", "/me", None, "viewer", 200),
    ("GET", "/tokens", None, "viewer", 200),
    ("POST", "/tokens", {"name": "ci", "expires_at": "1d"}, "viewer", 201),
    ("GET", "/people", None, "admin", 200),
    ("POST", "/people", {"username": "bob"}, "admin", 201),
    ("GET", "/people/pat", None, "admin", 200),
    ("PATCH", "/people/pat", {"role": "editor"}, "admin", 200),
    ("DELETE", "/people/pat", None, "admin", 204),
    ("POST", "/people/pat/reset-password", None, "admin", 200),
    ("DELETE", "/people/pat/sessions", None, "admin", 204),
]


LABELS = {"viewer": "Viewer", "operator": "Operator", "editor": "Editor", "admin": "Administrator"}


@pytest.fixture
def furnished(run: Run, make_job: Callable[..., Job]) -> Run:
    """Rows for every URL of the table, and the run of `{run}`."""
    make_job(slug="idle", name="Idle")
    service.set_variable(service.VariableRef(None, "day"), 1, get_admin())
    Secret.objects.create(name="API_KEY", encrypted=encrypt("API_KEY", "a value"))
    make_ready_image("reports")
    Host.objects.create(name="east")
    schedule = Schedule.objects.create(pk=1, job=run.job, name="nightly", rule="0 2 * * *", owner=get_admin())
    missed = timezone.now() - timedelta(hours=1)
    Occurrence.objects.create(
        schedule=schedule, nominal_at=missed, last_nominal_at=missed, rule_number=1, state="missed"
    )
    Incident.objects.create(pk=1, job=run.job, kind="start_by", expected_from=missed, due_at=missed, reason="Late")
    Check.objects.create(pk=1, name="backup", period_seconds=3600)
    JobView.objects.create(pk=1, name="late ones", query={"state": "failing"}, project_id=run.project_id)
    Calendar.objects.create(name="berlin", weekdays="sat,sun", country="DE", subdivision="BE")
    ended = launch(run.job, get_admin())
    Run.objects.filter(pk=ended.pk).update(status="failed", finished_at=timezone.now())
    User.objects.create(username="pat")
    ImagePolicy.objects.create(image="docker.io/library/ubuntu", policy="newer")
    Run.objects.update(output=1, output_at=timezone.now())
    return run


def _check(answer: HttpResponse, role: str, least: str, status: int) -> None:
    if ROLES.index(role) < ROLES.index(least):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), role
        assert LABELS[least] in answer.json()["detail"]
    else:
        assert answer.status_code == status, (role, answer.content)


@pytest.mark.parametrize(("method", "path", "body", "least", "status"), ROUTES)
def test_each_role_gets_what_its_rank_allows(
    method: str, path: str, body: Any, least: str, status: int, people: dict[str, User], furnished: Run
) -> None:
    """Unauthenticated; then each role by token, by session, and by session without the CSRF token."""
    ended = Run.objects.get(number=2)
    path = path.format(run=furnished.pk, ended=ended.pk)
    stranger = Api(None).call(method, path, body)
    assert (stranger.status_code, stranger.json()["code"]) == (401, "unauthenticated")
    assert stranger["WWW-Authenticate"].startswith("Bearer")
    for role in ROLES:
        point = transaction.savepoint()
        _check(Api(people[role]).call(method, path, body), role, least, status)
        transaction.savepoint_rollback(point)
        browser = Api(None)
        browser.client = Client(raise_request_exception=False, enforce_csrf_checks=True)
        browser.client.force_login(people[role])
        if method != "GET":
            refused = browser.call(method, path, body)
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed"), role
        browser.client.cookies["csrftoken"] = "a" * 32
        browser.headers["X-CSRFToken"] = "a" * 32
        _check(browser.call(method, path, body), role, least, status)
        transaction.savepoint_rollback(point)


@pytest.mark.parametrize("kind", ["wrong", "revoked", "expired", "of a person switched off", "of a run"])
def test_a_token_that_is_none_opens_no_route(kind: str, people: dict[str, User], furnished: Run) -> None:
    one = Api(people["admin"])
    if kind == "revoked":
        ApiToken.objects.update(revoked_at=timezone.now())
    elif kind == "expired":
        ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif kind == "of a person switched off":
        User.objects.update(is_active=False)
    else:
        runs_own = tokens.mint_token(tokens.derive_signing_key(settings.SECRET_KEY), str(furnished.pk), 60).text
        one.headers["Authorization"] = "Bearer " + {"wrong": "crn_" + "x" * 40, "of a run": runs_own}[kind]
    for method, path, body, *_ in ROUTES:
        assert one.call(method, path.format(run=furnished.pk, ended=furnished.pk), body).status_code == 401, (
            method,
            path,
        )


def test_a_refused_request_changes_nothing(viewer: Api, job: Job, nothing_stored: None) -> None:
    for method, path, body, least, _ in ROUTES:
        if method != "GET" and "{" not in path and least != "viewer":
            refused = 404 if path.startswith("/job-views/") else 403  # a view may be one's own: its row is read first
            assert viewer.call(method, path, body).status_code == refused


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
