"""The health of jobs: which ends count, their order, what deletions leave, and the states that follow from it."""

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs.job_states import JobState, add_state, count_states, filter_state
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.recent_runs import find_health
from cronium_admin.jobs.retry import normalize_retry
from cronium_admin.jobs.service import delete_job
from cronium_admin.logs.throttle import Throttle
from cronium_admin.retention.deletion import delete_runs
from cronium_admin.runs import state_machine
from cronium_admin.runs.attempt_ends import end_superseded_attempt
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.job_health import BAD
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import JobHealth, Run, Status
from cronium_admin.runs.state_machine import Ending
from tests.limits import limit_job
from tests.users import get_admin

pytestmark = pytest.mark.django_db


def start(job: Job, **columns: Any) -> Run:
    run = launch(job, get_admin())
    Run.objects.filter(pk=run.pk).update(status=Status.RUNNING, started_at=timezone.now(), **columns)
    return run


def end(run: Run, status: str = Status.SUCCEEDED) -> Run:
    assert state_machine.finish(run.pk, run.lease_epoch, Ending(Status(status), "x", "Done."))
    run.refresh_from_db()
    return run


def get_health(job: Job) -> JobHealth:
    health: JobHealth | None = find_health(job)
    assert health is not None
    return health


def test_it_follows_the_ends_of_runs(job: Job) -> None:
    assert find_health(job) is None
    good = end(start(job))
    health = get_health(job)
    assert (health.last_run, health.last_status, health.failures) == (good, "succeeded", 0)
    assert (health.last_good, health.last_good_at, health.failing_since) == (good, good.finished_at, None)
    assert good.finished_at is not None
    assert good.started_at is not None
    assert health.last_seconds == pytest.approx((good.finished_at - good.started_at).total_seconds(), abs=0.001)
    runs = [end(start(job), status) for status in BAD]
    health = get_health(job)
    assert (health.last_run, health.last_status, health.failures) == (runs[-1], BAD[-1], len(BAD))
    assert (health.failing_since, health.last_good) == (runs[0].finished_at, good)
    again = end(start(job))
    health = get_health(job)
    assert (health.failures, health.failing_since, health.last_good) == (0, None, again)


def test_the_order_is_that_of_the_ends(job: Job) -> None:
    first, second = start(job), start(job)
    end(second)
    end(first, "failed")
    assert (get_health(job).last_run, get_health(job).failures) == (first, 1)


def test_a_refused_end_does_not_count(job: Job) -> None:
    run = end(start(job), "failed")
    assert not state_machine.finish(run.pk, run.lease_epoch, Ending(Status.FAILED, "x", ""))
    assert get_health(job).failures == 1


def test_an_abandoned_run_counts(job: Job) -> None:
    run = start(job, lease_expires_at=timezone.now() - timedelta(hours=1))
    assert state_machine.end_abandoned(run.pk, 0, timedelta(0), Ending(Status.LOST, "host_gone", "Gone."))
    assert get_health(job).last_status == "lost"


def test_each_attempt_counts(make_job: Callable[..., Job]) -> None:
    job = make_job(retry=normalize_retry({"max": 1, "delay_seconds": 0}))
    end(start(job), "failed")
    [attempt] = Run.objects.filter(attempt=2)
    Run.objects.filter(pk=attempt.pk).update(status=Status.RUNNING)
    end(attempt, "failed")
    assert get_health(job).failures == 2


def cancel_queued(job: Job) -> None:
    cancel(launch(job, get_admin()), get_admin())


def cancel_running(job: Job) -> None:
    end(start(job), "cancelled")


def supersede(job: Job) -> None:
    assert end_superseded_attempt(launch(job, get_admin()), "The job succeeded", "Cronium")


def skip(job: Job) -> None:
    limit_job(job, 1, when_full="skip")
    live = start(job)
    assert launch(job, get_admin()).status == Status.CANCELLED
    end(live, "cancelled")


def try_script(job: Job) -> None:
    end(start(job, trigger="try"), "failed")


def build_image(job: Job) -> None:
    end(start(job, trigger="build"))


@pytest.mark.parametrize("act", [cancel_queued, cancel_running, supersede, skip, try_script, build_image])
def test_what_does_not_count(job: Job, act: Callable[[Job], None]) -> None:
    act(job)
    assert find_health(job) is None
    end(start(job), "failed")
    before = JobHealth.objects.values().get()
    act(job)
    assert JobHealth.objects.values().get() == before


def test_a_run_of_a_deleted_job(job: Job) -> None:
    end(start(job))
    delete_job(job)
    assert not JobHealth.objects.exists()
    assert Run.objects.get().job is None


def test_deleted_runs_leave_times_and_status(job: Job) -> None:
    good, bad = end(start(job)), end(start(job), "failed")
    assert delete_runs([good.pk, bad.pk], Throttle()) == 2
    health = get_health(job)
    assert (health.last_run, health.last_good) == (None, None)
    assert (health.last_status, health.failures) == ("failed", 1)
    assert (health.last_good_at, health.last_ended_at) == (good.finished_at, bad.finished_at)


def test_an_end_takes_one_more_statement(job: Job) -> None:
    runs = [start(job) for _ in range(2)]
    for run in runs:  # the first inserts the row, the second updates it
        with CaptureQueriesContext(connection) as captured:
            end(run)
        changes = [each["sql"] for each in captured if each["sql"].lstrip().startswith(("INSERT", "UPDATE"))]
        assert [sql.split()[1].strip('"') for sql in changes] == ["runs_run", "INTO"]
        assert "runs_jobhealth" in changes[1]


def fill() -> None:
    import_module("cronium_admin.runs.migrations.0038_fill_job_health").fill(apps, None)
    import_module("cronium_admin.runs.migrations.0042_last_seconds").fill(apps, connection.schema_editor())


def test_the_migration_finds_the_same(make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("cronium_admin.runs.migrations.0038_fill_job_health")
    monkeypatch.setattr(module, "RUNS", 2)
    monkeypatch.setattr(module, "JOBS", 2)
    words = {"s": "succeeded", "f": "failed", "c": "cancelled", "t": "timed_out", "l": "lost"}
    for history in ("", "c", "s", "ssfs", "ffft", "sfcf", "lsfffcft", "sc"):
        job = make_job()
        for letter in history:
            end(start(job), words[letter])
        start(job)
    kept = list(JobHealth.objects.order_by("pk").values())
    JobHealth.objects.all().delete()
    fill()
    assert list(JobHealth.objects.order_by("pk").values()) == kept
    fill()
    assert list(JobHealth.objects.order_by("pk").values()) == kept
    assert len(kept) == 6


def test_states_add_up(make_job: Callable[..., Job]) -> None:
    failing, running, waiting, never, fine, off, cancelled = jobs = [make_job() for _ in range(7)]
    end(start(failing), "failed")
    end(start(fine))
    end(start(running))
    start(running)
    launch(waiting, get_admin())
    start(failing)  # stays failing while it runs
    end(start(off), "failed")
    cancel(launch(cancelled, get_admin()), get_admin())
    Job.objects.filter(pk=off.pk).update(enabled=False)
    found = {job.pk: job.state for job in add_state(Job.objects.all())}
    names = ("failing", "running", "waiting", "never", "ok", "disabled", "never")
    assert [found[job.pk] for job in jobs] == list(names)
    counts = count_states(get_admin())
    assert counts == {name: names.count(name) for name in JobState.values}
    assert sum(counts.values()) == Job.objects.count()
    for state in JobState.values:
        expected = {pk for pk, name in found.items() if name == state}
        assert set(filter_state(Job.objects.all(), state).values_list("pk", flat=True)) == expected
    with pytest.raises(ValueError, match="fast"):
        filter_state(Job.objects.all(), "fast")
    assert never.pk in found


def test_states_are_those_of_visible_jobs(make_job: Callable[..., Job]) -> None:
    south, member = Project.objects.create(name="South", slug="south"), User.objects.create(username="member", role="")
    Membership.objects.create(user=member, project=south, role="viewer")
    seen = [make_job(project=south) for _ in range(3)]
    end(start(seen[0]))
    end(start(seen[1]), "failed")
    start(seen[1])
    launch(seen[2], get_admin())
    for _ in range(2):
        end(start(make_job()), "failed")
    launch(make_job(), get_admin())
    assert {state: number for state, number in count_states(member).items() if number} == {
        "ok": 1,
        "failing": 1,
        "waiting": 1,
    }


@pytest.mark.parametrize("is_live", [False, True])
def test_a_disabled_job_counts_once(job: Job, is_live: bool) -> None:
    if is_live:
        start(job)
    Job.objects.update(enabled=False)
    assert count_states(get_admin()) == dict.fromkeys(JobState.values, 0) | {"disabled": 1}
