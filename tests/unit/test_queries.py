"""The number of queries of each route is pinned, so that no list makes one query per row."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cronium_admin.accounts.models import ApiToken
from cronium_admin.expectations.models import Incident
from cronium_admin.jobs.models import Job
from cronium_admin.registries.models import ImagePolicy, Registry
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import Calendar, Occurrence, Schedule
from cronium_admin.secrets.crypto import encrypt
from cronium_admin.secrets.models import Secret
from cronium_admin.variables import service
from tests.conftest import Api
from tests.users import get_admin

# Each begins with one query for the token and its person. A savepoint counts as a query or two.
READS = [
    ("/jobs", 2),
    ("/jobs?q=job&limit=2", 2),
    ("/jobs/report", 2),
    ("/jobs/report/advice", 4),
    ("/jobs/report/revisions", 3),
    ("/jobs/report/revisions/1", 4),
    ("/runs", 2),
    ("/runs?job=report&status=queued", 3),
    ("/runs?tag=nightly&status=live", 3),
    ("/runs/{run}", 3),
    ("/runs/{run}/output", 2),
    ("/runs/{run}/compare?with={other}", 2),
    ("/runs/{run}/receipt", 2),
    ("/variables", 2),
    ("/variables?scope=job-2&q=a", 2),
    ("/variables/job-2/day", 3),
    ("/variables/job-2/day/history", 3),
    ("/runs/{run}/sandbox", 2),
    ("/runs/{run}/waiting", 8),
    ("/hosts", 4),
    ("/images", 14),
    ("/images/bash", 6),
    ("/images/policies", 4),
    ("/images/policies/ghcr.io/acme/tools", 4),
    ("/registries", 4),
    ("/registries/1", 4),
    ("/profiles", 2),
    ("/profiles/small", 3),
    ("/secrets", 3),
    ("/secrets/API_KEY", 3),
    ("/calendars", 2),
    ("/calendars/calendar-1", 3),
    ("/schedules", 2),
    ("/schedules?job=report", 3),
    ("/schedules/week", 6),
    ("/schedules/downtime", 2),
    ("/jobs/report/schedules", 3),
    ("/schedules/{schedule}", 2),
    ("/schedules/{schedule}/occurrences", 3),
    ("/incidents", 2),
    ("/incidents?job=report&state=open", 3),
    ("/me", 1),
    ("/tokens", 2),
    ("/people", 2),
    ("/people/viewer", 2),
]


@pytest.fixture
def plenty(job: Job, make_job: Callable[..., Job]) -> Run:
    """So many rows that a query per row exceeds the pinned number."""
    jobs = [make_job(created_by=None) for _ in range(5)]
    for name in ("API_KEY", "OTHER", "THIRD"):
        Secret.objects.create(name=name, encrypted=encrypt(name, "a value"), created_by=None)
    jobs[0].secrets = jobs[1].secrets = ["OTHER"]
    jobs[0].tags = ["nightly"]
    Job.objects.bulk_update(jobs[:2], ["secrets", "tags"])
    for owner in (*jobs, None):
        for name in ("day", "rows"):
            service.set_variable(service.VariableRef(owner, name), 1, get_admin())
    for name in ("tools", "base", "x"):
        ImagePolicy.objects.create(image=f"ghcr.io/acme/{name}", policy="newer")
        Registry.objects.create(address=f"ghcr.io/{name}", username="bot")
    runs = [launch(each, get_admin()) for each in [*jobs, *jobs, job]]
    Run.objects.filter(pk=runs[-1].pk).update(output=[1], output_at=runs[-1].created_at)
    for number, run in enumerate(runs):
        _make_schedule(run, f"schedule {number}")
    return runs[-1]


def _make_schedule(run: Run, name: str) -> None:
    """With one time that ran, and one that was missed."""
    calendar = Calendar.objects.create(
        name=name.replace("schedule ", "calendar-"), weekdays="sun", updated_by=get_admin()
    )
    values = {"owner": get_admin(), "calendar": calendar}
    schedule = Schedule.objects.create(job=run.job, name=name, rule="0 2 * * *", **values)
    for at, state, launched in ((run.created_at, "ran", run), (run.created_at - timedelta(days=1), "missed", None)):
        values = {"nominal_at": at, "last_nominal_at": at, "state": state, "run": launched}
        Occurrence.objects.create(schedule=schedule, rule_number=1, **values)
    late = {"job": run.job, "run": run, "schedule": schedule, "expected_from": run.created_at, "reason": "Late"}
    Incident.objects.create(kind="start_by", due_at=run.created_at, closed_at=run.created_at, closed_by=run, **late)


def test_reads(admin: Api, plenty: Run) -> None:
    admin.get("/jobs")  # notes the token's use, which happens once a minute
    assert ApiToken.objects.get().last_used_at is not None
    schedule, made = Schedule.objects.latest("pk").pk, []
    other = Run.objects.exclude(pk=plenty.pk).earliest("created_at").pk
    for path, _ in READS:
        with CaptureQueriesContext(connection) as captured:
            assert admin.get(path.format(run=plenty.pk, other=other, schedule=schedule)).status_code == 200, path
        made.append((path, len(captured)))
    assert made == READS


@pytest.mark.parametrize(
    ("method", "path", "body", "queries"),
    [
        ("POST", "/jobs/report/runs", None, 11),
        ("POST", "/jobs", {"name": "N", "language": "bash", "script": "true"}, 14),
        ("PATCH", "/jobs/report", {"timeout_seconds": 9}, 10),
        ("DELETE", "/jobs/job-3", None, 26),
        ("POST", "/runs/{run}/cancel", None, 7),
        ("POST", "/runs/{run}/rerun", None, 10),
        ("PUT", "/images/bash", {"reference": "a/b"}, 14),
        ("DELETE", "/images/bash", None, 4),
        ("PUT", "/images/policies/ghcr.io/acme/tools", {"policy": "never"}, 9),
        ("DELETE", "/images/policies/ghcr.io/acme/tools", None, 6),
        ("POST", "/registries", {"address": "ghcr.io/acme", "username": "a", "secret": "b"}, 18),
        ("PATCH", "/registries/1", {"may_push": True}, 14),
        ("DELETE", "/registries/1", None, 10),
        ("POST", "/registries/1/check", None, 7),
        ("POST", "/profiles", {"name": "tiny", "cpu": 1, "memory_mb": 64, "pids": 20}, 6),
        ("PATCH", "/profiles/small", {"pids": 50}, 10),
        ("DELETE", "/profiles/large", None, 8),
        ("PUT", "/secrets/API_KEY", {"value": "another"}, 8),
        ("PUT", "/secrets/FRESH", {"value": "another"}, 10),
        ("DELETE", "/secrets/API_KEY", None, 8),
        ("PATCH", "/jobs/report", {"secrets": ["API_KEY", "THIRD"]}, 12),
        ("PUT", "/variables/shared/day", {"value": 2}, 6),
        ("PUT", "/variables/job-2/fresh", {"value": 2}, 11),
        ("DELETE", "/variables/shared/day", None, 6),
        ("POST", "/tokens", {"name": "ci", "expires_at": "1d"}, 8),
    ],
)
def test_writes(
    admin: Api, plenty: Run, method: str, path: str, body: Any, queries: int, django_assert_num_queries: Any
) -> None:
    admin.get("/jobs")
    Run.objects.filter(job__slug="job-3").update(status="failed", finished_at=plenty.created_at)
    with django_assert_num_queries(queries):
        assert admin.call(method, path.format(run=plenty.pk), body).status_code < 300


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        (
            "/jobs/",
            12,
        ),  # session, user, count, jobs, their runs, incidents, last lines at work, live runs
        ("/job-states/?id={ids}", 6),
        ("/", 22),  # the parts, and the counts of the frame
        ("/home/now/", 21),  # three less while the counts of the day are kept
        ("/home/figures/part/", 4),
        ("/incidents/", 4),
        ("/runs/advice/report/", 5),
        ("/palette/entries/", 3),
        ("/palette/entries/?q=run+job", 4),
        ("/palette/?q=job", 4),
        ("/palette/entries/?q=job+%232", 5),
        ("/jobs/report/incident-rows/", 5),
        ("/jobs/?sort=success&q=job&tag=nightly", 14),
        ("/jobs/?sort=duration&state=failing&mine=true", 8),
        ("/job-rows/?q=job&project=default", 11),
        ("/runs/?job=report&status=failed&host=local", 9),
        ("/runs/?tag=nightly&by=admin&language=bash&reason=oom", 10),
        ("/runs/?project=default&input.region=eu&trigger=api", 10),
        ("/runs/search/results/?q=x&host=local", 5),
        ("/runs/", 8),  # also hosts and people to choose from, and projects
        ("/last-lines/?run={runs}", 3),
        ("/schedules/", 7),
        ("/schedules/downtime/", 4),
        ("/schedules/week/", 9),
        ("/jobs/report/schedule-rows/", 5),
        ("/schedules/{schedule}/", 8),  # counters of states, and sums of days
        ("/schedules/{schedule}/ledger/", 7),
        ("/schedules/{schedule}/ledger/?state=differs&period=7d", 7),
        ("/schedules/{schedule}/edit/", 6),
        ("/calendars/", 4),
        ("/calendars/calendar-1/", 6),
    ],
)
def test_pages_that_are_asked_for_again_and_again(
    client: Client, people: Any, plenty: Run, path: str, queries: int, django_assert_num_queries: Any
) -> None:
    """For any number of active runs, their last lines take one query."""
    client.force_login(people["admin"])
    Run.objects.update(status="running")
    ids = "&id=".join(str(pk) for pk in Job.objects.values_list("pk", flat=True))
    runs = "&run=".join(str(pk) for pk in Run.objects.values_list("pk", flat=True))
    schedule = Schedule.objects.latest("pk").pk
    with django_assert_num_queries(queries):
        assert client.get(path.format(ids=ids, runs=runs, schedule=schedule)).status_code == 200


def test_an_empty_dashboard_answers_too(admin: Api) -> None:
    for path in ("/jobs", "/runs"):
        assert admin.get(path).json() == {"items": [], "next": None}
