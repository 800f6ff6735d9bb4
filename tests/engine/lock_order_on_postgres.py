"""Transactions that lock the same schedules, jobs and runs never wait for each other. test_on_postgres runs it.

Each pair is run in lockstep, with every lead of one over the other, so that each order of their locks occurs.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.accounts.people import delete_person
from cronium_admin.core.errors import ApiError
from cronium_admin.expectations.watches import sync_watches
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.retry import normalize_retry
from cronium_admin.jobs.service import delete_job, save_job
from cronium_admin.logs.throttle import Throttle
from cronium_admin.retention.deletion import delete_runs
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import LIVE, JobHealth, Run, Status
from cronium_admin.runs.state_machine import Ending
from cronium_admin.schedules.catch_up import run_missed
from cronium_admin.schedules.firing import AlreadyDecided, Tick, fire_schedule
from cronium_admin.schedules.models import Missed, Occurrence, Overlap, Schedule, State
from tests.engine.steps import Lockstep
from tests.limits import limit_job
from tests.unit.schedules.conftest import instant, store_schedule
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
FAILED = Ending(Status.FAILED, "exit_code", "The script exited with code 1.", 1)
LEADS = (1, 2, 4, 7, -1, -3)  # of the first of two transactions over the other, in statements
OWNER = "a-worker"
Work = Callable[[], object]


@pytest.fixture(autouse=True)
def _on_postgres() -> None:
    assert connection.vendor == "postgresql"


@pytest.fixture
def make_retried(make_job: Callable[..., Job]) -> Callable[..., Job]:
    return lambda **values: make_job(retry=normalize_retry({"max": 5, "delay_seconds": 0}), **values)


def start_runs(job: Job, number: int, schedule: Schedule | None = None) -> list[Run]:
    """Running, of this worker."""
    runs = [launch(job, get_admin()) for _ in range(number)]
    cause = f"schedule:{schedule.pk}" if schedule else ""
    Run.objects.filter(pk__in=[run.pk for run in runs]).update(
        status=Status.RUNNING, lease_owner=OWNER, started_at=timezone.now(), caused_by=cause
    )
    return runs


def run_pair(one: Work, other: Work, lead: int) -> tuple[object, object]:
    """Results of `one` and `other`. A positive lead is that of `one`."""
    results = Lockstep(one, other, lead).run() if lead > 0 else Lockstep(other, one, -lead).run()[::-1]
    for result in results:
        assert not isinstance(result, OperationalError), result
        if isinstance(result, Exception) and not isinstance(result, ApiError | AlreadyDecided):
            raise result
    return results


def end(run: Run) -> Work:
    return lambda: state_machine.finish(run.pk, run.lease_epoch, FAILED)


def fire(schedule: Schedule, at: str = "2026-11-26T03:00") -> Work:
    """Three times are due: two launches follow the first one in its transaction."""
    return lambda: fire_schedule(schedule.pk, Tick(instant(at), None))


def make_schedule(job: Job, overlap: str) -> Schedule:
    return store_schedule(job, overlap=overlap, missed=Missed.ALL, missed_within_seconds=86_400)


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("overlap", [Overlap.CANCEL_RUNNING, Overlap.SKIP, Overlap.QUEUE_ONE])
def test_a_schedule_fires_and_its_run_ends(make_retried: Callable[..., Job], overlap: str, lead: int) -> None:
    job = make_retried()
    schedule = make_schedule(job, overlap)
    first, second = start_runs(job, 2, schedule)
    state_machine.finish(second.pk, second.lease_epoch, FAILED)  # its next attempt waits
    fired, ended = run_pair(fire(schedule), end(first), lead)
    assert fired is None
    assert ended is True, "the end is stored"
    assert Occurrence.objects.count() == 3


@pytest.mark.parametrize("lead", [*LEADS, -9, -12, -15, -18])
def test_a_schedule_fires_and_the_next_attempt_ends_too(make_retried: Callable[..., Job], lead: int) -> None:
    """The attempt is queued, claimed and ended while the first of the three times is decided."""
    job = make_retried()
    schedule = make_schedule(job, Overlap.CANCEL_RUNNING)
    [first] = start_runs(job, 1, schedule)

    def end_twice() -> None:
        end(first)()
        if claimed := state_machine.claim_next("a-host", OWNER):
            end(claimed)()

    fired, _ = run_pair(fire(schedule), end_twice, lead)
    assert fired is None
    assert Occurrence.objects.count() == 3


@pytest.mark.parametrize("lead", LEADS)
def test_a_launch_cancels_the_oldest_run_and_it_ends(make_retried: Callable[..., Job], lead: int) -> None:
    job = limit_job(make_retried(), 2, when_full="cancel_oldest")
    runs = start_runs(job, 2)
    launched, ended = run_pair(lambda: launch(job, get_admin()), end(runs[0]), lead)
    assert isinstance(launched, Run)
    assert ended is True


@pytest.mark.parametrize("lead", LEADS)
def test_missed_times_cancel_the_oldest_run_and_it_ends(make_retried: Callable[..., Job], lead: int) -> None:
    job = limit_job(make_retried(), 1, when_full="cancel_oldest")
    schedule = make_schedule(job, Overlap.ALLOW)
    [run] = start_runs(job, 1)
    for hour in (1, 2, 3):
        at = datetime.fromisoformat(f"2026-11-25T{hour:02}:00+00:00")
        Occurrence.objects.create(
            schedule=schedule, nominal_at=at, last_nominal_at=at, state=State.MISSED, rule_number=1
        )
    ran, ended = run_pair(lambda: run_missed(schedule, 3, get_admin()), end(run), lead)
    assert isinstance(ran, list), ran
    assert len(ran) == 3
    assert ended is True


@pytest.mark.parametrize("lead", LEADS)
def test_a_schedule_cancels_runs_and_their_leases_are_renewed(make_retried: Callable[..., Job], lead: int) -> None:
    job = make_retried()
    schedule = make_schedule(job, Overlap.CANCEL_RUNNING)
    runs = start_runs(job, 4, schedule)
    fired, renewed = run_pair(fire(schedule), lambda: state_machine.renew_leases(OWNER), lead)
    assert (fired, renewed) == (None, len(runs))


@pytest.mark.parametrize("lead", LEADS)
def test_a_job_is_deleted_while_its_schedule_fires(job: Job, lead: int) -> None:
    schedule = make_schedule(job, Overlap.CANCEL_RUNNING)
    run_pair(lambda: delete_job(job), fire(schedule), lead)
    assert Job.objects.filter(pk=job.pk).exists() == Run.objects.filter(status__in=LIVE).exists()


@pytest.mark.parametrize("lead", LEADS)
def test_a_job_is_deleted_or_saved_while_its_run_ends(make_retried: Callable[..., Job], lead: int) -> None:
    job = make_retried()
    first, second = start_runs(job, 2)
    deleted, ended = run_pair(lambda: delete_job(job), end(first), lead)
    assert isinstance(deleted, ApiError)
    assert ended is True
    saved, ended = run_pair(lambda: save_job(job, {"priority": 4}, get_admin()), end(second), lead)
    assert isinstance(saved, Job)
    assert ended is True


@pytest.mark.parametrize("lead", [*LEADS, 3, 5, 6, 9, -2, -4, -5])
def test_a_job_is_deleted_while_its_first_run_ends(job: Job, lead: int) -> None:
    """The first row of its health refers to the job, so the end locks the job at its commit, after the run."""
    [run] = start_runs(job, 1)
    deleted, ended = run_pair(lambda: delete_job(job), end(run), lead)
    assert ended is True
    assert isinstance(deleted, ApiError) == Job.objects.filter(pk=job.pk).exists() == JobHealth.objects.exists()


@pytest.mark.parametrize("lead", LEADS)
def test_a_job_is_deleted_while_its_settings_are_watched(make_job: Callable[..., Job], lead: int) -> None:
    job = make_job(start_by=60, finish_by=600)
    sync_watches(timezone.now())
    Job.objects.filter(pk=job.pk).update(start_by=120, finish_by=None)
    run_pair(lambda: delete_job(job), lambda: sync_watches(timezone.now()), lead)
    assert not Job.objects.filter(pk=job.pk).exists()


@pytest.mark.parametrize("lead", LEADS)
def test_runs_are_deleted_while_their_reruns_run(job: Job, lead: int) -> None:
    parents = [launch(job, get_admin()) for _ in range(3)]
    for run in parents:
        state_machine.cancel_queued(run.pk, "pat")
        run.refresh_from_db()
    children = [rerun(run, get_admin()).pk for run in parents]
    Run.objects.filter(pk__in=children).update(status=Status.RUNNING, lease_owner=OWNER)
    ids = [run.pk for run in parents]
    deleted, renewed = run_pair(lambda: delete_runs(ids, Throttle()), lambda: state_machine.renew_leases(OWNER), lead)
    assert (deleted, renewed) == (3, 3)


@pytest.mark.parametrize("lead", LEADS)
def test_runs_are_deleted_while_a_run_of_their_job_ends(make_job: Callable[..., Job], lead: int) -> None:
    """Both change the health of the job."""
    jobs = [make_job() for _ in range(3)]
    ended = [start_runs(job, 1)[0] for job in jobs]
    for run in ended:
        end(run)()
    [live] = start_runs(jobs[1], 1)
    ids = [run.pk for run in ended]
    deleted, is_ended = run_pair(lambda: delete_runs(ids, Throttle()), end(live), lead)
    assert (deleted, is_ended) == (3, True)
    assert JobHealth.objects.get(job=jobs[1]).failures == 2


@pytest.mark.parametrize("lead", LEADS)
def test_a_job_is_deleted_while_its_runs_are(make_job: Callable[..., Job], lead: int) -> None:
    job = make_job()
    [run] = start_runs(job, 1)
    end(run)()
    run_pair(lambda: delete_job(job), lambda: delete_runs([run.pk], Throttle()), lead)
    assert not Job.objects.filter(pk=job.pk).exists()
    assert not Run.objects.exists()


@pytest.mark.parametrize("lead", LEADS)
def test_a_user_is_deleted_while_launching(make_job: Callable[..., Job], lead: int) -> None:
    pat = User.objects.create(username="pat", role="editor")
    job: Any = make_job(created_by=pat)
    run_pair(lambda: delete_person(get_admin(), pat), lambda: launch(job, pat), lead)
