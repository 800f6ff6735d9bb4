"""A failed run is followed by one next attempt, queued in the transaction of its end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models import F
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.retry import normalize_retry
from cronium_admin.runs import outbox, retries, state_machine
from cronium_admin.runs.attempt_ends import end_stale_attempts
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import OutboxEvent, Run, Status
from cronium_admin.runs.outbox import register_consumer
from cronium_admin.runs.overrides import Overrides
from cronium_admin.runs.state_machine import Ending
from cronium_admin.runtime_api.handlers import build_context
from cronium_admin.workers.scheduling.capacity import Capacity, choose_next_run
from tests.unit.retries.conftest import FAILED, Launch, end, fail, find_next, read_last_event
from tests.users import get_admin

pytestmark = pytest.mark.django_db
TIMED_OUT = Ending(Status.TIMED_OUT, "timeout", "Timed out.")
LOST = Ending(Status.LOST, "host_gone", "Gone.")
SUCCEEDED = Ending(Status.SUCCEEDED, "exit_code", "Done.", 0)


def test_attempts_of_a_group(start: Launch) -> None:
    first = start()
    second = fail(first)
    third = fail(second, TIMED_OUT)
    end(third)
    assert find_next(third) is None
    runs = [first, second, third]
    assert [run.attempt for run in runs] == [1, 2, 3]
    assert [run.retry_of_id for run in runs] == [None, first.pk, first.pk]
    assert [run.parent_id for run in runs] == [None, first.pk, second.pk]
    assert [run.trigger for run in runs] == ["api", "retry", "retry"]
    assert [run.caused_by for run in runs] == ["", *[f"run:{first.pk}"] * 2]
    assert {run.max_attempts for run in runs} == {3}
    assert {run.created_by for run in runs} == {get_admin()}
    assert [run.number for run in runs] == [1, 2, 3]
    assert "attempt 2 of 3, after run #1" in second.events.get().message
    assert read_last_event(third) == "No further attempt: this was attempt 3 of 3."
    assert build_context(second)["attempt"] == 2


def test_no_attempt_after_a_success_or_without_the_setting(start: Launch, run: Run) -> None:
    first = start()
    end(first, SUCCEEDED)
    end(run)
    assert Run.objects.count() == 2
    assert run.events.count() == 1


def test_the_settings_of_the_launch_count(start: Launch) -> None:
    first = start()
    Job.objects.update(retry=None, script="echo changed")
    second = fail(first)
    assert (second.script, second.retry) == (first.script, first.retry)


def test_an_end_that_is_repeated_queues_nothing(start: Launch) -> None:
    first = start()
    end(first)
    assert not state_machine.finish(first.pk, first.lease_epoch, FAILED)
    assert Run.objects.filter(attempt=2).count() == 1


def test_the_database_allows_each_attempt_once(start: Launch) -> None:
    first = start()
    end(first)
    with pytest.raises(IntegrityError):
        retries._insert_attempt(first)


def test_the_end_and_the_attempt_are_one_transaction(start: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start()

    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retries, "_insert_attempt", stop)
        with pytest.raises(KeyboardInterrupt):
            end(first)
    first.refresh_from_db()
    assert (first.status, find_next(first)) == (Status.RUNNING, None)
    assert fail(first).attempt == 2


def test_an_error_never_prevents_the_end(start: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start()

    def fail_to_build(*args: Any) -> None:
        raise RuntimeError("secret text")

    monkeypatch.setattr(retries, "build_rerun", fail_to_build)
    end(first)
    assert (first.status, find_next(first)) == (Status.FAILED, None)
    assert read_last_event(first) == "No further attempt: an error of Cronium; its log has the details."


def test_a_lost_run_only_if_the_job_says_so(start: Launch, make_job: Callable[..., Job]) -> None:
    for setting, is_next in (({}, False), ({"on": ["lost"]}, True)):
        first = start(**setting)
        past = timezone.now() - timedelta(hours=1)
        Run.objects.filter(pk=first.pk).update(status=Status.RUNNING, lease_expires_at=past)
        assert state_machine.end_abandoned(first.pk, first.lease_epoch, timedelta(0), LOST)
        assert bool(find_next(first)) is is_next
        Job.objects.all().update(slug=F("name"))


def test_never_after_a_cancel(start: Launch) -> None:
    first = start()
    Run.objects.filter(pk=first.pk).update(status=Status.RUNNING)
    cancel(first, get_admin())
    end(first)  # the script exited before it was stopped
    assert find_next(first) is None


def test_a_cancel_ends_the_group(start: Launch) -> None:
    first = start(delay_seconds=60, backoff="constant")
    second = fail(first)
    cancel(first, get_admin())  # of the group, by its first attempt
    second.refresh_from_db()
    assert second.status == Status.CANCELLED
    assert not Run.objects.filter(attempt=3).exists()
    with pytest.raises(ApiError, match="already ended"):
        cancel(first, get_admin())


def test_a_cancel_that_meets_the_end_finds_the_next_attempt(start: Launch) -> None:
    first = start()
    Run.objects.filter(pk=first.pk).update(status=Status.RUNNING)
    stale = Run.objects.get(pk=first.pk)
    second = fail(first)
    cancel(stale, get_admin())
    second.refresh_from_db()
    assert second.status == Status.CANCELLED


def test_a_rerun_begins_a_group(start: Launch) -> None:
    first = start()
    second = fail(first)
    end(second, SUCCEEDED)
    again = rerun(second, get_admin())
    assert (again.attempt, again.retry_of_id, again.max_attempts, again.not_before) == (1, None, 3, None)
    assert fail(again).retry_of_id == again.pk


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda run: Job.objects.update(enabled=False), "the job is disabled."),
        (lambda run: User.objects.update(is_active=False), "admin may not run this job any more."),
        (lambda run: Run.objects.update(created_by=None), "the user who launched the run was deleted."),
    ],
)
def test_what_allows_no_attempt(start: Launch, change: Callable[[Run], None], problem: str) -> None:
    first = start()
    change(first)
    end(first)
    assert find_next(first) is None
    assert read_last_event(first) == f"No further attempt: {problem}"


def test_an_end_that_the_setting_does_not_name(start: Launch) -> None:
    first = start(exit_codes=[75])
    end(first)
    assert read_last_event(first) == "No further attempt: the job is not retried after failed with exit code 1."


class TestTimes:
    def test_the_delay(self, start: Launch) -> None:
        first = start(delay_seconds=60, backoff="constant")
        second = fail(first)
        assert first.finished_at is not None
        assert second.not_before == first.finished_at + timedelta(seconds=60)
        assert choose_next_run("east", Capacity()) is None
        Run.objects.update(not_before=timezone.now() - timedelta(seconds=1))
        assert choose_next_run("east", Capacity()) == second.pk

    def test_no_attempt_after_the_total_time(self, start: Launch) -> None:
        first = start(delay_seconds=60, backoff="constant", total_seconds=100)
        second = fail(first)
        assert second.retry_until == first.created_at + timedelta(seconds=100)
        Run.objects.filter(pk=second.pk).update(retry_until=timezone.now() + timedelta(seconds=50))
        end(second)
        assert find_next(second) is None
        assert read_last_event(second) == "No further attempt: it would start after the total time of 100 s."

    def test_one_that_waited_too_long_does_not_start(self, start: Launch) -> None:
        second = fail(start(total_seconds=100))
        past = timezone.now() - timedelta(seconds=1)
        Run.objects.filter(pk=second.pk).update(retry_until=past)
        assert choose_next_run("east", Capacity()) is None
        assert end_stale_attempts() == 1
        second.refresh_from_db()
        assert (second.status, second.reason) == (Status.CANCELLED, "retry_expired")

    def test_one_whose_job_is_disabled_does_not_start(self, start: Launch) -> None:
        second = fail(start())
        assert choose_next_run("east", Capacity()) == second.pk
        Job.objects.update(enabled=False)
        assert choose_next_run("east", Capacity()) is None
        assert end_stale_attempts() == 1
        second.refresh_from_db()
        assert (second.status, second.reason) == (Status.CANCELLED, "job_disabled")

    def test_a_run_of_a_disabled_job_that_is_no_retry_starts(self, start: Launch) -> None:
        first = start()
        Job.objects.update(enabled=False)
        assert end_stale_attempts() == 0
        assert choose_next_run("east", Capacity()) == first.pk


def test_consumers_of_the_outbox_get_it(start: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_assumed_until", 0.0)
    first = start()
    OutboxEvent.objects.all().delete()
    register_consumer("test", 0)
    second = fail(first)
    assert list(OutboxEvent.objects.values_list("run_id", "kind").order_by("id")) == [
        (first.pk, "failed"),
        (second.pk, "queued"),
    ]


def test_it_keeps_what_the_launch_changed(make_job: Callable[..., Job]) -> None:
    job = make_job(retry=normalize_retry({"max": 1}))
    first = launch(job, get_admin(), Overrides(input={"day": 9}, env={"A": "b"}, timeout_seconds=7))
    second = fail(first)
    assert (second.input, second.env["A"], second.timeout_seconds) == ({"day": 9}, "b", 7)
