# ruff: noqa: F811 - a fixture of another module is requested by its name
"""Projects: rows of another project answer like missing rows, and names count within their project."""

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.db import IntegrityError, connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cronium_admin.accounts import session_guard
from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, ApiToken, Membership, Project, User
from cronium_admin.accounts.permissions import INSTANCE, Permission, Role, can
from cronium_admin.accounts.projects import choose_project_id
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import create_job, delete_job
from cronium_admin.profiles.models import Profile
from cronium_admin.retention.deletion import Selection
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run, Status
from cronium_admin.runtime_api.handlers import handle_request
from cronium_admin.schedules.models import Schedule
from cronium_admin.secrets.crypto import encrypt
from cronium_admin.secrets.models import Secret
from cronium_admin.secrets.service import SecretUnavailable, delete_secret, save_secret
from cronium_admin.variables import service
from cronium_admin.variables.models import Variable
from cronium_admin.workers.run_spec import build_spec, build_spec_to_adopt
from tests.conftest import ROLES, Api
from tests.unit.test_api_access import ROUTES, _check, furnished  # noqa: F401 - a fixture
from tests.unit.test_pages_rights import ORDER, PAGES, address  # noqa: F401 - a fixture
from tests.users import get_admin

ROOTS = (
    "/jobs",
    "/runs",
    "/logs",
    "/variables",
    "/secrets",
    "/custom-images",
    "/schedules",
    "/crontab",
    "/scripts",
    "/incidents",
    "/checks",
    "/job-views",
    "/run-acts",
    "/job-acts",
)
OWN_ACCOUNT = ("/me", "/tokens")
# Rows of the whole instance that each user reads, with a role in any project.
READ_BY_MEMBERS = ("/calendars", "calendars:list", "calendars:calendar")
PROJECT_PAGES = (
    "jobs:",
    "runs:",
    "retention:",
    "logs:",
    "secrets:",
    "variables:",
    "schedules:",
    "planning:",
    "hosts:waiting",
)
PROJECT_PAGES += ("expectations:", "job_views:", "home", "palette:", "help:")
PROJECT_PAGES += ("images:build", "images:image", "images:version", "images:missing-module")
ACCOUNT_PAGES = ("account:", "access:tokens")
PROJECT_ROUTES = [row for row in ROUTES if row[1].startswith(ROOTS)]
PAGES_OF_ROWS = [row for row in PAGES if row[1].startswith(PROJECT_PAGES)]
# The statuses of the routes that name no row of the other project, by the role in the own project.
WITHOUT_ROW: dict[tuple[str, str], dict[str, int]] = {
    ("GET", "/jobs"): dict.fromkeys(("", *ROLES), 200),
    ("POST", "/jobs"): {"": 403, "viewer": 403, "operator": 403, "editor": 201, "admin": 201},
    ("GET", "/logs/search"): dict.fromkeys(("", *ROLES), 200),
    ("GET", "/runs"): dict.fromkeys(("", *ROLES), 200),
    ("POST", "/custom-images/suggestions"): {"": 403, "viewer": 403, "operator": 403, "editor": 200, "admin": 200},
    ("DELETE", "/runs?job=report"): {"": 403, "viewer": 403, "operator": 403, "editor": 403, "admin": 422},
    ("GET", "/variables"): dict.fromkeys(("", *ROLES), 200),
    # A shared variable of the own project: the one of the other project stays.
    ("PUT", "/variables/shared/day"): {"": 403, "viewer": 403, "operator": 403, "editor": 200, "admin": 200},
    ("DELETE", "/variables/shared/day"): {"": 403, "viewer": 403, "operator": 403, "editor": 404, "admin": 404},
    ("GET", "/custom-images"): dict.fromkeys(("", *ROLES), 200),
    ("POST", "/custom-images"): {"": 403, "viewer": 403, "operator": 403, "editor": 201, "admin": 201},
    ("GET", "/schedules"): dict.fromkeys(("", *ROLES), 200),
    ("GET", "/schedules/week"): dict.fromkeys(("", *ROLES), 200),
    ("GET", "/schedules/downtime"): dict.fromkeys(("", *ROLES), 200),
    ("POST", "/schedules/preview"): dict.fromkeys(("", *ROLES), 200),  # it reads no row
    ("POST", "/scripts/check"): {"": 403, "viewer": 403, "operator": 403, "editor": 200, "admin": 200},
    ("POST", "/scripts/format"): {"": 403, "viewer": 403, "operator": 403, "editor": 200, "admin": 200},
    ("POST", "/crontab/preview"): {"": 403, "viewer": 403, "operator": 403, "editor": 200, "admin": 200},
    ("POST", "/crontab/import"): {"": 403, "viewer": 403, "operator": 403, "editor": 200, "admin": 200},
    ("GET", "/incidents"): dict.fromkeys(("", *ROLES), 200),
    ("GET", "/job-views"): dict.fromkeys(("", *ROLES), 200),
    ("POST", "/job-views"): dict.fromkeys(("", *ROLES), 201),  # of its own
    ("POST", "/run-acts"): {"": 403, "viewer": 403, "operator": 200, "editor": 200, "admin": 200},
    ("POST", "/job-acts"): {"": 403, "viewer": 403, "operator": 200, "editor": 200, "admin": 200},  # not found
    ("GET", "/checks"): dict.fromkeys(("", *ROLES), 200),
    ("POST", "/checks"): {"": 403, "viewer": 403, "operator": 403, "editor": 201, "admin": 201},
    ("GET", "/secrets"): dict.fromkeys(("", *ROLES), 200),
    ("PUT", "/secrets/API_KEY"): {"": 403, "viewer": 403, "operator": 403, "editor": 403, "admin": 201},
}


@pytest.fixture
def south(db: None) -> Project:
    return Project.objects.create(name="South", slug="south")


def make_member(role: str, project: Project | None, name: str = "") -> User:
    """A user without a role in the instance; a stranger without `role`."""
    user = User.objects.create(username=name or f"member-{role or 'of-none'}", role="")
    if role and project is not None:
        Membership.objects.create(user=user, project=project, role=role)
    return user


def make_job_in(project: Project, **values: Any) -> Job:
    base = {"name": "Report", "slug": "report", "language": "bash", "script": "true"}
    return Job.objects.create(project=project, profile=Profile.objects.get(name="small"), **{**base, **values})


def sign_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


class TestRights:
    @pytest.mark.parametrize("role", ROLES)
    def test_a_role_in_the_instance_counts_in_every_project_without_a_query(self, role: str, south: Project) -> None:
        user = User.objects.create(username=role, role=role)
        with CaptureQueriesContext(connection) as captured:
            assert can(user, Permission.VIEW, south)
            assert can(user, Permission.VIEW, INSTANCE)
            assert Job.objects.visible_to(user).query.where.children == []
        assert not captured

    def test_a_membership_counts_in_its_project_only(self, south: Project) -> None:
        north = Project.objects.create(name="North", slug="north")
        user = make_member("editor", south)
        with CaptureQueriesContext(connection) as captured:
            assert can(user, Permission.EDIT, south)
            assert not can(user, Permission.ADMIN, south)
            assert not can(user, Permission.VIEW, north)
            assert not can(user, Permission.VIEW, INSTANCE)
        assert len(captured) == 1

    def test_the_higher_role_counts(self, south: Project) -> None:
        user = User.objects.create(username="pat", role="editor")
        Membership.objects.create(user=user, project=south, role="viewer")
        assert can(user, Permission.EDIT, south)
        other = User.objects.create(username="sam", role="viewer")
        Membership.objects.create(user=other, project=south, role="admin")
        assert can(other, Permission.ADMIN, south)
        assert not can(other, Permission.RUN, Project.objects.get(slug="default"))
        assert can(other, Permission.VIEW, INSTANCE)

    @pytest.mark.parametrize("role", ["", "admin"])
    def test_a_user_who_is_switched_off_has_none(self, role: str, south: Project) -> None:
        make_job_in(south)
        user = User.objects.create(username="pat", role=role, is_active=False)
        Membership.objects.create(user=user, project=south, role="admin")
        assert not can(user, Permission.VIEW, south)
        assert not Job.objects.visible_to(user).exists()

    def test_an_unknown_role_is_refused_by_the_database(self, south: Project) -> None:
        user = make_member("", None)
        with pytest.raises(IntegrityError), transaction.atomic():
            Membership.objects.create(user=user, project=south, role="owner")

    def test_visible_rows(self, south: Project, job: Job) -> None:
        own = make_job_in(south)
        member, stranger = make_member("viewer", south), make_member("", None)
        assert list(Job.objects.visible_to(member)) == [own]
        assert list(Job.objects.visible_to(member, Permission.RUN)) == []
        assert list(Job.objects.visible_to(stranger)) == []
        assert set(Job.objects.visible_to(get_admin())) == {own, job}


@pytest.mark.parametrize(("method", "path", "body", "least", "status"), ROUTES)
def test_a_member_has_the_rights_of_the_role_in_the_project(
    method: str, path: str, body: Any, least: str, status: int, furnished: Run, people: dict[str, User]
) -> None:
    path = path.format(run=furnished.pk, ended=Run.objects.get(number=2).pk)
    default = Project.objects.get(slug="default")
    for role in ROLES:
        point = transaction.savepoint()
        answer = Api(make_member(role, default)).call(method, path, body)
        if path.startswith(ROOTS):
            _check(answer, role, least, status)
        elif path in OWN_ACCOUNT or (method == "GET" and path.startswith(READ_BY_MEMBERS)):
            assert answer.status_code == status
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), role
        transaction.savepoint_rollback(point)


@pytest.mark.parametrize(("method", "path", "body", "least", "status"), PROJECT_ROUTES)
def test_rows_of_another_project_answer_like_missing_rows(
    method: str, path: str, body: Any, least: str, status: int, furnished: Run, south: Project
) -> None:
    make_job_in(south, slug="own", name="Own")
    expected = WITHOUT_ROW.get((method, path), dict.fromkeys(("", *ROLES), 404))
    path = path.format(run=furnished.pk, ended=Run.objects.get(number=2).pk)
    before = _fetch_default_rows()
    for role in ("", *ROLES):
        point = transaction.savepoint()
        answer = Api(make_member(role, south)).call(method, path, body)
        assert answer.status_code == expected[role], (role, answer.content)
        if method == "GET":
            _check_nothing_shown(answer)
        assert _fetch_default_rows() == before, role
        transaction.savepoint_rollback(point)


def _fetch_default_rows() -> list[Any]:
    models: tuple[Any, ...] = (Job, Run, Variable, Secret, Schedule)
    return [list(model.objects.filter(project=DEFAULT_PROJECT_ID).order_by("pk").values()) for model in models]


def _check_nothing_shown(answer: HttpResponse) -> None:
    if answer.status_code == 200:
        shown = answer.content.decode()
        assert "report" not in shown.lower()
        assert "API_KEY" not in shown
        assert '"day"' not in shown


@pytest.mark.parametrize(("method", "view", "kind", "least"), PAGES)
def test_a_member_at_each_page(
    method: str, view: str, kind: str, least: str, address: Callable[[str, str], str], people: dict[str, User]
) -> None:
    url, default = address(view, kind), Project.objects.get(slug="default")
    Secret.objects.create(name="API_KEY", encrypted=encrypt("API_KEY", "a value"))
    for role in ORDER:
        point = transaction.savepoint()
        answer = getattr(sign_in(make_member(role, default)), method)(url)
        transaction.savepoint_rollback(point)
        if view.startswith(ACCOUNT_PAGES):
            assert answer.status_code in (200, 302, 422), role
        elif view in READ_BY_MEMBERS:
            assert answer.status_code == 200, role
        elif view.startswith(PROJECT_PAGES) and ORDER.index(role) >= ORDER.index(least):
            assert answer.status_code in (200, 204, 302, 409, 422), role
        else:
            assert answer.status_code == 403, role
            assert "admin can change that" in answer.content.decode()


@pytest.mark.parametrize(("method", "view", "kind", "least"), PAGES_OF_ROWS)
def test_a_page_of_another_project_is_not_found(
    method: str, view: str, kind: str, least: str, address: Callable[[str, str], str], south: Project
) -> None:
    url = address(view, kind)
    Secret.objects.create(name="API_KEY", encrypted=encrypt("API_KEY", "a value"))
    before = _fetch_default_rows()
    for role in ("", *ROLES):
        point = transaction.savepoint()
        answer = getattr(sign_in(make_member(role, south)), method)(url)
        content = answer.content.decode() if answer.status_code == 200 else ""
        assert _fetch_default_rows() == before, role
        transaction.savepoint_rollback(point)
        if view == "hosts:waiting":
            assert (answer.status_code, content.strip()) == (200, "")
        elif view == "secrets:replace" and role == "admin":
            assert answer.status_code == 422, "it may store its own, so the form of a new secret opens"
        elif view == "secrets:delete" and role == "admin":
            assert answer.status_code == 302, "as for a missing secret"
        elif view == "jobs:edit" and method == "post" and role in ("editor", "admin"):
            assert answer.status_code == 409, "as for a job that was deleted meanwhile: it may be created again"
        elif view == "images:image-edit" and method == "post" and role in ("editor", "admin"):
            assert answer.status_code == 422, "in the same way"
        elif kind:
            assert answer.status_code == 404, role
        elif role in ("", *ORDER[: ORDER.index(least)]) and least != "viewer":
            assert answer.status_code == 403, role
        else:
            assert answer.status_code in (200, 204, 302, 422), role
            for text in (">Report<", "/jobs/report/", ">API_KEY<", "/variables/report/", ">nightly<"):
                assert text not in content, role


def test_searches_counts_and_fragments_leave_out_other_projects(run: Run, south: Project) -> None:
    Run.objects.update(status=Status.RUNNING)
    member = make_member("admin", south)
    page, api = sign_in(member), Api(member)
    assert api.get("/jobs?q=rep").json()["items"] == []
    assert api.get("/runs?status=live").json()["items"] == []
    assert api.get("/runs?job=report").status_code == 422
    assert api.get("/variables?scope=report").json()["items"] == []
    assert page.get("/runs/count/").content == b"0"
    assert "Report" not in page.get("/jobs/?q=rep").content.decode()
    assert f"job-{run.job_id}-state" not in page.get(f"/job-states/?id={run.job_id}").content.decode()
    assert str(run.pk) not in page.get(f"/last-lines/?run={run.pk}").content.decode()
    assert api.get("/runs?job=report").json() == api.get("/runs?job=nothing").json() | {
        "detail": "job: There is no job 'report'.",
        "fields": {"job": ["There is no job 'report'."]},
    }


def test_a_missing_row_and_an_invisible_row_give_the_same_answer(furnished: Run, south: Project) -> None:
    api = Api(make_member("admin", south))
    missing = "00000000-0000-4000-8000-000000000000"
    for path in ("/runs/{}", "/runs/{}/output", "/runs/{}/sandbox", "/runs/{}/logs", "/runs/{}/logs.txt"):
        hidden, gone = api.get(path.format(furnished.pk)), api.get(path.format(missing))
        assert hidden.status_code == gone.status_code == 404
        assert hidden.content.decode().replace(str(furnished.pk), missing) == gone.content.decode()
    hidden, gone = api.get("/jobs/report"), api.get("/jobs/nothing")
    assert hidden.content.decode().replace("report", "nothing") == gone.content.decode()


def test_a_viewer_of_the_instance_may_run_in_one_project(job: Job, south: Project) -> None:
    make_job_in(south, slug="own", name="Own")
    user = User.objects.create(username="pat", role="viewer")
    Membership.objects.create(user=user, project=south, role="operator")
    api, page = Api(user), sign_in(user)
    assert api.post("/jobs/own/runs").status_code == 202
    refused = api.post("/jobs/report/runs")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "/runs/launch/own/" in page.get("/jobs/own/").content.decode()
    assert "/runs/launch/report/" not in page.get("/jobs/report/").content.decode()
    listed = page.get("/jobs/").content.decode()
    assert "/runs/launch/own/" in listed
    assert "/runs/launch/report/" not in listed


def test_the_navigation_of_a_member_has_no_page_of_the_instance(south: Project) -> None:
    content = sign_in(make_member("admin", south)).get("/jobs/").content.decode()
    for url in ("/images/", "/profiles/", "/hosts/", "/access/people/"):
        assert f'href="{url}"' not in content
    assert 'href="/jobs/new/"' in content


@pytest.mark.parametrize(
    ("role", "of_project", "expected"),
    [
        ("", "", "You need the role Editor for this. You have no role;"),
        ("", "viewer", "You need the role Editor in the project for this. You are a Viewer in the project;"),
        ("viewer", "viewer", "You need the role Editor for this. You are a Viewer;"),
        ("operator", "", "You need the role Editor for this. You are an Operator;"),
    ],
)
def test_a_refusal_names_the_role_and_where_it_counts(
    role: str, of_project: str, expected: str, south: Project, people: dict[str, User]
) -> None:
    own = make_job_in(south, slug="own")
    user = User.objects.create(username="pat", role=role)
    if of_project:
        Membership.objects.create(user=user, project=south, role=of_project)
    answer = Api(user).patch("/jobs/own", {"name": "B"}) if role or of_project else Api(user).post("/jobs", {})
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith(expected)
    own.refresh_from_db()
    assert own.name == "Report"


class TestNewRows:
    def test_go_to_the_default_project(self, people: dict[str, User], south: Project) -> None:
        assert create_job({"name": "A", "language": "bash", "script": "true"}, people["editor"]).project_id == 1
        member = make_member("editor", south)
        Membership.objects.create(user=member, project_id=DEFAULT_PROJECT_ID, role="editor")
        assert choose_project_id(member, Permission.EDIT) == DEFAULT_PROJECT_ID

    def test_of_a_member_go_to_the_only_project(self, south: Project) -> None:
        member = make_member("editor", south)
        Membership.objects.create(user=member, project_id=DEFAULT_PROJECT_ID, role="viewer")
        answer = Api(member).post("/jobs", {"name": "A", "language": "bash", "script": "true"})
        assert answer.status_code == 201
        assert Job.objects.get().project == south

    def test_of_a_member_of_several_projects_are_refused_with_their_names(self, south: Project) -> None:
        member = make_member("editor", south)
        north = Project.objects.create(name="North", slug="north")
        Membership.objects.create(user=member, project=north, role="editor")
        answer = Api(member).post("/jobs", {"name": "A", "language": "bash", "script": "true"})
        assert (answer.status_code, answer.json()["code"]) == (409, "several_projects")
        assert "south, north" in answer.json()["detail"]
        assert not Job.objects.exists()
        assert sign_in(member).get("/jobs/new/").status_code == 409

    def test_a_project_administrator_may_open_the_network_of_its_jobs_only(self, job: Job, south: Project) -> None:
        make_job_in(south, slug="own")
        api = Api(make_member("admin", south))
        assert api.patch("/jobs/own", {"network": "open"}).status_code == 200
        editor = Api(make_member("editor", south))
        assert editor.patch("/jobs/own", {"network": "isolated"}).status_code == 200
        assert editor.patch("/jobs/own", {"network": "open"}).json()["code"] == "open_network_forbidden"

    def test_a_member_never_learns_which_secrets_another_project_has(self, south: Project) -> None:
        save_secret("API_KEY", "a value", None, get_admin())
        page, api = sign_in(make_member("editor", south)), Api(User.objects.get(username="member-editor"))
        assert "API_KEY" not in page.get("/jobs/new/").content.decode()
        body = {"name": "A", "language": "bash", "script": "true", "secrets": ["API_KEY"]}
        refused = api.post("/jobs", body)
        assert "There is no secret API_KEY" in refused.json()["detail"]


class TestNames:
    def test_repeat_in_two_projects_but_not_in_one(self, job: Job, south: Project) -> None:
        make_job_in(south)
        with pytest.raises(IntegrityError), transaction.atomic():
            make_job_in(south)

    def test_a_free_slug_is_searched_in_the_project(self, job: Job, south: Project) -> None:
        body = {"name": "Report", "language": "bash", "script": "true"}
        assert create_job(body, make_member("editor", south)).slug == "report"
        assert create_job(body, get_admin()).slug == "report-2"

    def test_a_taken_slug_is_refused_in_its_project_only(self, job: Job, south: Project) -> None:
        body = {"name": "A", "slug": "report", "language": "bash", "script": "true"}
        api = Api(make_member("editor", south))
        assert api.post("/jobs", body).status_code == 201
        refused = api.post("/jobs", body)
        text = "There is a job with the slug report already. Choose another slug."
        assert (refused.status_code, refused.json()["fields"]) == (422, {"slug": [text]})

    def test_a_slug_of_two_projects_means_the_default_project(self, job: Job, south: Project) -> None:
        make_job_in(south)
        assert find_job(get_admin(), "report") == job
        assert find_job(make_member("viewer", south), "report").project == south

    def test_a_slug_of_two_other_projects_is_a_conflict(self, south: Project) -> None:
        make_job_in(south)
        make_job_in(Project.objects.create(name="North", slug="north"))
        answer = Api(get_admin()).get("/jobs/report")
        assert (answer.status_code, answer.json()["code"]) == (409, "several_projects")
        assert sign_in(get_admin()).get("/jobs/report/").status_code == 409
        assert Api(get_admin()).get("/runs?job=report").status_code == 409
        assert sign_in(get_admin()).get("/runs/?job=report").status_code == 409

    def test_a_button_runs_the_job_that_its_page_shows(self, job: Job, south: Project) -> None:
        own, page = make_job_in(south), sign_in(get_admin())
        run = launch(own, get_admin())
        Job.objects.filter(pk=own.pk).update(revision=2)
        for url, shown in (("/jobs/", {own, job}), (f"/runs/{run.pk}/", {own}), ("/jobs/report/", {job})):
            ids = re.findall(r'launch/report/">.*?name="job" value="(\d+)"', page.get(url).content.decode())
            assert set(ids) == {str(each.pk) for each in shown}, url
        for each in (own, job):
            page.post("/runs/launch/report/", {"job": each.pk})
            assert Run.objects.order_by("-created_at", "-number")[0].job_id == each.pk
        assert page.post("/runs/launch/report/", {"job": job.pk + own.pk}).status_code == 404
        page.post("/runs/launch/report/")
        assert job.runs.count() == 2

    def test_numbers_and_revisions_are_counted_in_the_project(self, job: Job, south: Project) -> None:
        own = make_job_in(south)
        Job.objects.filter(pk=job.pk).update(last_run_number=7, revision=9)
        Job.objects.filter(pk=own.pk).update(last_run_number=2)
        for each in (job, own):
            first = launch(Job.objects.get(pk=each.pk), get_admin())
            Run.objects.filter(pk=first.pk).update(status=Status.FAILED, finished_at=first.created_at)
            delete_job(each)
        numbers = {
            run.project.slug: rerun(run, get_admin()).number for run in Run.objects.select_related("project", "job")
        }
        assert numbers == {"default": 9, "south": 4}
        body = {"name": "Report", "language": "bash", "script": "true"}
        assert create_job(body, make_member("editor", south)).revision == 2
        assert create_job(body, get_admin()).revision == 10

    def test_a_deletion_of_many_runs_concerns_the_projects_of_the_administrator(self, run: Run, south: Project) -> None:
        Run.objects.update(status=Status.FAILED, finished_at=run.created_at)
        member = make_member("admin", south)
        with pytest.raises(ApiError, match="There is no job"):
            Selection(member, "report").validate()
        assert not Selection(member, status=("failed",)).select_runs().exists()
        assert Selection(get_admin(), status=("failed",)).select_runs().count() == 1
        Job.objects.get().delete()
        assert not Selection(member, "report").select_runs().exists()
        assert Selection(get_admin(), "report").select_runs().count() == 1


@pytest.fixture
def both(south: Project) -> Iterator[dict[str, Run]]:
    """A running run per project, of jobs with the same slug and the same secret's name."""
    member = make_member("admin", south)
    save_secret("API_KEY", "the value of default", None, get_admin())
    save_secret("API_KEY", "the value of south", None, member)
    runs = {}
    for project in Project.objects.all():
        job = make_job_in(project, secrets=["API_KEY"])
        run = launch(job, get_admin())
        Run.objects.filter(pk=run.pk).update(status=Status.RUNNING, claimed_at=run.created_at)
        runs[project.slug] = Run.objects.get(pk=run.pk)
    return runs


class TestRuns:
    def test_belong_to_the_project_of_their_job_also_after_its_deletion(self, both: dict[str, Run]) -> None:
        run = both["south"]
        assert run.project.slug == "south"
        Run.objects.filter(pk=run.pk).update(status=Status.FAILED, finished_at=run.created_at)
        delete_job(Job.objects.get(pk=run.job_id))
        stored = Run.objects.get(pk=run.pk)
        assert (stored.job, stored.project.slug) == (None, "south")
        repeat = rerun(stored, get_admin())
        assert repeat.project.slug == "south"
        assert build_spec(repeat, "i", "h").secrets == {"API_KEY": "the value of south"}

    def test_get_and_mask_the_secrets_of_their_project_only(self, both: dict[str, Run]) -> None:
        for name, run in both.items():
            value = f"the value of {name}"
            assert build_spec(run, "i", "h").secrets == {"API_KEY": value}
            assert set(build_spec_to_adopt(run, "i", "h").masked) == {value}

    def test_mask_the_replaced_values_of_their_project_only(self, both: dict[str, Run]) -> None:
        save_secret("API_KEY", "the next of south", None, User.objects.get(username="member-admin"))
        assert set(build_spec_to_adopt(both["default"], "i", "h").masked) == {"the value of default"}
        masked = set(build_spec_to_adopt(both["south"], "i", "h").masked)
        assert masked == {"the value of south", "the next of south"}

    def test_never_get_a_secret_of_another_project(self, both: dict[str, Run]) -> None:
        Job.objects.filter(project__slug="south").update(secrets=[])
        delete_secret("API_KEY", User.objects.get(username="member-admin"))
        assert Secret.objects.get().project_id == DEFAULT_PROJECT_ID
        with pytest.raises(SecretUnavailable, match="API_KEY"):
            build_spec(both["south"], "i", "h")

    def test_share_variables_within_their_project_only(self, both: dict[str, Run]) -> None:
        for name, run in both.items():
            body = {"key": "shared/day", "value": name}
            assert handle_request(run.pk, "set_variable", body).status == 200
        assert handle_request(both["south"].pk, "increment_variable", {"key": "shared/n", "amount": 2}).data == 2
        assert handle_request(both["default"].pk, "increment_variable", {"key": "shared/n", "amount": 3}).data == 3
        for name, run in both.items():
            assert handle_request(run.pk, "get_variable", {"key": "shared/day"}).data["value"] == name
        assert Variable.objects.filter(name="day", job=None).count() == 2

    def test_histories_of_shared_variables_stay_apart(self, both: dict[str, Run], south: Project) -> None:
        for project_id, value in ((DEFAULT_PROJECT_ID, 1), (south.pk, 2)):
            service.set_variable(service.VariableRef(None, "day", project_id), value, get_admin())
        member = User.objects.get(username="member-admin")
        answer = Api(member).get("/variables/shared/day/history").json()["items"]
        assert [change["value_text"] for change in answer] == ["2"]
        assert Api(member).get("/variables/shared/day").json()["value"] == 2
        assert Api(get_admin()).get("/variables/shared/day").json()["value"] == 1


class TestConnections:
    def test_a_check_ends_with_the_membership(self, run: Run) -> None:
        member = make_member("viewer", Project.objects.get(slug="default"))
        _, token = ApiToken.mint(member, "tests")
        check = session_guard.check_by_token(token, Permission.VIEW, run.project_id)
        assert check()
        assert not session_guard.check_by_token(token, Permission.RUN, run.project_id)()
        assert not session_guard.check_by_token(token, Permission.VIEW, None)()
        assert session_guard.check_by_token(token, None)()
        Membership.objects.all().delete()
        assert not check()
        assert session_guard.check_by_token(token, None)(), "the credential is still valid"

    def test_every_role_of_a_membership_is_known(self) -> None:
        assert tuple(Role.values) == ROLES


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
async def test_the_socket_of_a_log_of_another_project_is_closed(
    run: Run, south: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the membership ends while it is open."""
    monkeypatch.setattr(session_guard, "RECHECK_SECONDS", 0.0)
    from cronium_admin.core import notify
    from cronium_admin.web.asgi import application

    notify.bind_loop(asyncio.get_running_loop())
    default = await sync_to_async(Project.objects.get)(slug="default")
    cases = [("", None, "of-none", False), ("admin", south, "of-south", False), ("viewer", default, "of-default", True)]
    for role, project, name, is_open in cases:
        member = await sync_to_async(make_member)(role, project, name)
        _, token = await sync_to_async(ApiToken.mint)(member, "tests")
        headers = [(b"host", b"testserver"), (b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "websocket", "path": f"/ws/runs/{run.pk}/logs", "headers": headers, "subprotocols": []}
        socket = ApplicationCommunicator(application, scope | {"query_string": b""})
        await socket.send_input({"type": "websocket.connect"})
        assert (await socket.receive_output(5))["type"] == "websocket.accept"
        first = await socket.receive_output(5)
        if is_open:
            assert first["type"] == "websocket.send"
            await sync_to_async(Membership.objects.filter(user=member).delete)()
            while (message := await socket.receive_output(10))["type"] == "websocket.send":
                pass
            assert (message["type"], message["code"]) == ("websocket.close", 4403)
        else:
            assert (first["type"], first["code"]) == ("websocket.close", 4403), name
