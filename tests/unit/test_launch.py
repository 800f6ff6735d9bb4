"""Concurrent launches, and the wake-up message, which is sent only after the row is committed."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from cronium_admin.jobs.models import Job
from cronium_admin.profiles.models import Profile
from cronium_admin.runs import launch as launch_module
from cronium_admin.runs import state_machine
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, RunEvent
from tests.users import get_admin


def _at_once(count: int, call: Callable[[], Any]) -> list[Any]:
    """The results of `count` threads that call `call` at the same time."""
    barrier, results = threading.Barrier(count), []

    def work() -> None:
        try:
            barrier.wait(10)
            results.append(call())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@pytest.fixture
def stored_job(transactional_db: None) -> Job:
    """A job that other connections see. The profile is created again: each such test leaves empty tables."""
    small, _ = Profile.objects.get_or_create(name="small", defaults={"cpu": "0.5", "memory_mb": 512, "pids": 100})
    return Job.objects.create(name="Report", slug="report", language="bash", script="true", profile=small)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestAtOnce:
    def test_one_key_makes_one_run(self, stored_job: Job) -> None:
        runs = _at_once(4, lambda: launch(Job.objects.get(), get_admin(), idempotency_key="k").pk)
        assert len(set(runs)) == 1, runs
        assert Run.objects.count() == 1
        assert RunEvent.objects.filter(kind="queued").count() == 1

    def test_runs_are_numbered_without_a_gap(self, stored_job: Job) -> None:
        numbers = _at_once(6, lambda: launch(Job.objects.get(), get_admin()).number)
        assert sorted(numbers) == [1, 2, 3, 4, 5, 6], numbers

    def test_a_waiting_run_is_claimed_once(self, stored_job: Job) -> None:
        launch(stored_job, get_admin())
        claimed = _at_once(4, lambda: state_machine.claim_next("host", threading.current_thread().name))
        assert len([run for run in claimed if isinstance(run, Run)]) == 1, claimed
        assert claimed.count(None) == 3, claimed


def test_the_message_goes_out_after_the_commit_and_says_only_which_run(
    job: Job, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(launch_module, "wake_workers", lambda *args: sent.append(args))
    with django_capture_on_commit_callbacks() as callbacks:
        run = launch(job, get_admin())
        assert sent == []
    for callback in callbacks:
        callback()
    assert sent == [(str(run.pk), "default")]


def test_the_message_needs_no_broker_here(job: Job, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        launch(job, get_admin())
    assert callbacks


def test_a_cancel_is_not_lost_to_a_run_that_goes_back_to_the_queue(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is `starting` at the first query and `queued` at the second."""
    ask = state_machine.request_cancel

    def requeued_before(*given: Any) -> bool:
        state_machine.requeue(run.pk, 1, "Its worker stopped before the script began")
        return ask(*given)

    assert state_machine.claim_next("east", "me")
    monkeypatch.setattr(state_machine, "request_cancel", requeued_before)
    cancel(run, get_admin())
    run.refresh_from_db()
    assert run.status == "cancelled"


def test_a_cancel_is_not_lost_to_a_run_that_is_claimed_meanwhile(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claimed, requeued and claimed again: twice the query does not match its status."""
    at_once, ask, moves = state_machine.cancel_queued, state_machine.request_cancel, [1, 3]

    def claimed_before(*given: Any) -> bool:
        assert state_machine.claim_next("east", "me")
        return at_once(*given)

    def requeued_before(*given: Any) -> bool:
        if moves:
            state_machine.requeue(run.pk, moves.pop(0), "The engine of its host did not answer")
        return ask(*given)

    monkeypatch.setattr(state_machine, "cancel_queued", claimed_before)
    monkeypatch.setattr(state_machine, "request_cancel", requeued_before)
    cancel(run, get_admin())
    run.refresh_from_db()
    assert (run.status, run.cancel_requested_at is not None) == ("starting", True)
