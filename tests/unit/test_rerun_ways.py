"""Reruns by page and by API have the same result, for every state of the job and every role."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import delete_job, save_job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.overrides import Overrides
from cronium_admin.workers.run_spec import build_spec
from tests.conftest import Api
from tests.users import get_admin

DIGEST = "sha256:" + "a" * 64
RUN, EDIT = ("operator", "editor", "admin"), ("editor", "admin")
CHANGED = {"script": "echo now", "image": "corp/now:2", "timeout_seconds": 77}
Way = Callable[[User, str], Run | None]


def _edited(run: Run) -> None:
    save_job(Job.objects.get(), CHANGED, get_admin())


def _disabled(run: Run) -> None:
    save_job(Job.objects.get(), {**CHANGED, "enabled": False}, get_admin())


def _deleted(run: Run) -> None:
    delete_job(Job.objects.get())


def _made_again(run: Run) -> None:
    profile = Job.objects.get().profile
    _deleted(run)
    Job.objects.create(name="Report", slug="report", language="bash", profile=profile, **CHANGED)


def _altered(run: Run) -> None:
    """An editor's launch with another image."""
    Run.objects.update(overridden=["image"], image="corp/editors:1", image_rule="run")


# the state of the job, and the roles that may rerun its run
STATES: dict[str, tuple[Callable[[Run], None], tuple[str, ...]]] = {
    "as it was": (lambda run: None, RUN),
    "edited": (_edited, RUN),
    "disabled": (_disabled, RUN),
    "deleted": (_deleted, EDIT),
    "deleted and made again": (_made_again, EDIT),
    "launched with another image": (_altered, EDIT),
}


@pytest.fixture
def ended(job: Job) -> Run:
    run = launch(job, get_admin(), Overrides(input={"day": 5}))
    Run.objects.update(status=Status.SUCCEEDED, image_digest=DIGEST, finished_at=run.created_at)
    run.refresh_from_db()
    return run


@pytest.fixture(params=["page", "api"])
def way(request: pytest.FixtureRequest) -> Way:
    """Posts to a path as a user; returns the new run, or None if refused."""

    def by_page(user: User, path: str) -> Any:
        client = Client()
        client.force_login(user)
        return client.post(
            {"again": "/runs/{}/rerun/", "now": "/runs/launch/report/"}[path.split()[0]].format(*path.split()[1:])
        )

    def by_api(user: User, path: str) -> Any:
        words = {"again": "/runs/{}/rerun", "now": "/jobs/report/runs"}[path.split()[0]]
        return Api(user).post(words.format(*path.split()[1:]))

    def post(user: User, path: str) -> Run | None:
        before = set(Run.objects.values_list("pk", flat=True))
        answer = (by_page if request.param == "page" else by_api)(user, path)
        assert answer.status_code in (202, 302, 403, 404, 409), answer.content
        return Run.objects.exclude(pk__in=before).first()

    return post


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("role", ["viewer", *RUN])
def test_a_run_is_repeated_exactly_or_refused(
    people: dict[str, User], ended: Run, way: Way, state: str, role: str
) -> None:
    become, allowed = STATES[state]
    become(ended)
    ended.refresh_from_db()
    again = way(people[role], f"again {ended.pk}")
    assert (again is not None) == (role in allowed)
    if again is None:
        return
    assert (again.parent_id, again.created_by, again.trigger) == (ended.pk, people[role], "rerun")
    same = (
        "job_id",
        "script",
        "image",
        "image_rule",
        "image_digest",
        "env",
        "input",
        "timeout_seconds",
        "job_revision",
    )
    assert [getattr(again, name) for name in same] == [getattr(ended, name) for name in same]
    spec = build_spec(again, "instance", "host")
    assert (spec.script, spec.image_digest) == ("echo hello", DIGEST)


@pytest.mark.parametrize(
    ("state", "runs"), [("as it was", True), ("edited", True), ("disabled", False), ("deleted", False)]
)
def test_as_it_is_now_takes_what_the_job_has(
    people: dict[str, User], ended: Run, way: Way, state: str, runs: bool
) -> None:
    STATES[state][0](ended)
    now = way(people["operator"], "now")
    assert (now is not None) == runs
    if now is not None:
        job = Job.objects.get()
        assert (now.script, now.job_revision, now.image_digest, now.parent_id) == (job.script, job.revision, "", None)
        assert now.input == {"day": 1}, "the job's, not that of the run before"
