"""A process's own worker is woken directly, and others only over a broker; without Redis nothing loads Celery."""

import threading
from typing import Any

import pytest

from cronium_admin.core import broker_wakeup, wakeup
from cronium_admin.runs import state_machine
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.workers import process
from tests.users import get_admin


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The messages to the broker."""
    messages: list[tuple[str, str]] = []
    monkeypatch.setattr(broker_wakeup, "publish_wakeup", lambda *message: messages.append(message))
    monkeypatch.setattr(wakeup, "_own_worker", None)
    return messages


def set_redis(settings: Any, url: str) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"redis_url": url})


def test_a_launch_wakes_the_own_worker_after_its_commit(
    sent: list[tuple[str, str]], job: Any, django_capture_on_commit_callbacks: Any
) -> None:
    woken: list[tuple[str, str]] = []
    wakeup.register_own_worker(lambda *wake: woken.append(wake))
    with django_capture_on_commit_callbacks() as callbacks:
        run = launch(job, get_admin())
    assert not woken, "the run is not committed yet"
    for callback in callbacks:
        callback()
    assert (woken, sent) == ([(str(run.pk), "default")], [])


@pytest.mark.parametrize("has_worker", [True, False])
def test_with_redis_all_workers_get_a_message(sent: list[tuple[str, str]], settings: Any, has_worker: bool) -> None:
    set_redis(settings, "redis://127.0.0.1:1/0")
    woken: list[tuple[str, str]] = []
    if has_worker:
        wakeup.register_own_worker(lambda *wake: woken.append(wake))
    wakeup.wake_workers("4711", "gpu")
    assert (woken, sent) == ([("4711", "gpu")] * has_worker, [("4711", "gpu")])


class Engine:
    """Enough of an engine for a worker that never starts."""


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, db: None) -> Any:
    from cronium_admin.workers import runner

    monkeypatch.setattr(runner, "make_own_engine", lambda slots: Engine())
    monkeypatch.setattr(process, "_current", None)
    made = process.Worker("local", ("default", "gpu"))
    yield made
    made._waiting.put(None)
    made.runner.context.supervisor._closing.set()
    made.runner.context.writer.close()
    made.runner.context.database.close()


@pytest.mark.parametrize(("queue", "is_woken"), [("default", True), ("gpu", True), ("other", False)])
def test_a_worker_is_woken_for_its_queues(worker: Any, queue: str, is_woken: bool) -> None:
    worker._receive_own_wakeup("4711", queue)
    assert worker.runner.context.wake.is_set() == is_woken


def test_a_cancellation_is_handled_in_another_thread(
    worker: Any, monkeypatch: pytest.MonkeyPatch, run: Run, django_capture_on_commit_callbacks: Any
) -> None:
    # The request that cancels must not wait for the worker's database threads.
    threads: list[threading.Thread] = []
    done = threading.Event()

    def stop_cancelled(context: Any) -> None:
        threads.append(threading.current_thread())
        done.set()

    monkeypatch.setattr("cronium_admin.workers.runner.stop_cancelled_runs", stop_cancelled)
    monkeypatch.setattr(worker.runner.context.supervisor, "list_active", lambda: frozenset({str(run.pk)}))
    monkeypatch.setattr(wakeup, "_own_worker", worker._receive_own_wakeup)
    worker._thread.start()
    assert state_machine.claim_next("local", "owner")
    with django_capture_on_commit_callbacks(execute=True):
        cancel(run, get_admin())
    assert done.wait(10)
    assert threads == [worker._thread]
    assert not worker.runner.context.wake.is_set()


@pytest.mark.parametrize(
    ("is_scheduled", "expected"),
    [(True, ["sweep", "claim"]), (False, ["claim", "sweep", "claim"])],
)
def test_a_new_run_does_not_wait_for_the_periodic_sweep(
    worker: Any, monkeypatch: pytest.MonkeyPatch, is_scheduled: bool, expected: list[str]
) -> None:
    # A new leader sweeps first: it adopts the runs that hold its slots.
    steps: list[str] = []
    runner = worker.runner
    monkeypatch.setattr(runner.dispatcher, "claim_waiting", lambda: steps.append("claim"))
    monkeypatch.setattr("cronium_admin.workers.abandoned.settle_abandoned_runs", lambda: steps.append("sweep"))
    runner.takeover.is_scheduled = is_scheduled
    runner.takeover._swept_at = -60.0
    runner.dispatch()
    assert steps == expected
    steps.clear()
    runner.dispatch()
    assert steps == ["claim"], "swept a moment ago"
