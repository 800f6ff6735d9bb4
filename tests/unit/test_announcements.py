"""A launch is announced to every host of its queue: few of them try to claim it, and none misses it."""

import threading
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from cronium_admin.celery import is_for_one_host, make_broadcast_queue
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run
from cronium_admin.workers import announcements, process
from cronium_admin.workers.announcements import HOSTS_AT_ONCE, PAUSE_SECONDS, Announcements
from cronium_admin.workers.tasks import receive_wakeup


class Database:
    """Calls in the caller's thread, and counts."""

    calls = 0

    def call(self, function: Any, *args: Any) -> Any:
        self.calls += 1
        return function(*args)


@pytest.fixture
def context() -> Any:
    """A host with one free slot, beside 99 others."""
    free = SimpleNamespace(count_free=lambda: 1, list_active=frozenset)
    events = {"wake": threading.Event(), "closing": threading.Event()}
    return SimpleNamespace(supervisor=free, database=Database(), other_hosts=99, **events)


@pytest.fixture(autouse=True)
def _not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements.random, "random", lambda: 0.99)


def make(context: Any, *pauses: float) -> tuple[Announcements, list[float]]:
    taken: list[float] = []
    return Announcements(context, taken.append), taken


def test_a_run_that_waits_wakes_the_dispatcher_after_the_pause(context: Any, run: Run) -> None:
    announced, pauses = make(context)
    announced.add(str(run.pk))
    assert not context.wake.is_set()
    announced.wait_and_check()
    assert context.wake.is_set()
    assert pauses == [PAUSE_SECONDS]


def test_a_run_that_another_host_has_claimed_costs_one_query(
    context: Any, run: Run, django_assert_num_queries: Any
) -> None:
    announced, _ = make(context)
    announced.add(str(run.pk))
    assert state_machine.claim_next("other", "owner")
    with django_assert_num_queries(1):
        announced.wait_and_check()
    assert not context.wake.is_set()


def test_runs_announced_during_the_pause_are_checked_together(context: Any, run: Run) -> None:
    announced = Announcements(context, lambda _: announced.add(str(run.pk)))
    announced.add(str(uuid.uuid4()))
    announced.wait_and_check()
    assert context.wake.is_set()
    context.wake.clear()
    announced._pause = lambda _: None
    announced.wait_and_check()
    assert (context.database.calls, context.wake.is_set()) == (1, False), "each is checked once"


@pytest.mark.parametrize(("chance", "is_at_once"), [(0.0, True), (0.0799, True), (0.0801, False)])
def test_some_hosts_search_at_once(
    context: Any, monkeypatch: pytest.MonkeyPatch, chance: float, is_at_once: bool
) -> None:
    monkeypatch.setattr(announcements.random, "random", lambda: chance)
    announced, _ = make(context)
    announced.add(str(uuid.uuid4()))
    assert (context.wake.is_set(), context.database.calls) == (is_at_once, 0)


@pytest.mark.parametrize("others", [0, 1, HOSTS_AT_ONCE - 1])
def test_few_hosts_all_search_at_once(context: Any, others: int) -> None:
    context.other_hosts = others
    announced, pauses = make(context)
    announced.add(str(uuid.uuid4()))
    assert (context.wake.is_set(), pauses, context.database.calls) == (True, [], 0)


def test_a_full_host_makes_no_query(context: Any) -> None:
    # The end of a run there wakes the dispatcher.
    context.supervisor.count_free = lambda: 0
    announced, _ = make(context)
    announced.add(str(uuid.uuid4()))
    announced.wait_and_check()
    assert (context.wake.is_set(), context.database.calls) == (False, 0)


def test_the_thread_goes_on_after_an_error(context: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [RuntimeError("no database"), True]

    def is_any_queued(_: set[str]) -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    monkeypatch.setattr(announcements, "is_any_queued", is_any_queued)
    announced, _ = make(context)
    announced.start()
    announced.add("lost")
    while len(answers) == 2:
        threading.Event().wait(0.01)
    announced.add("second")
    assert context.wake.wait(10)
    context.closing.set()
    announced.close()
    announced.thread.join(10)
    assert not announced.thread.is_alive()


@pytest.mark.parametrize(("queue", "is_for_all"), [("default", True), ("host", True), ("host.east", False)])
def test_messages_of_a_hosts_own_queue_are_not_delayed(
    queue: str, is_for_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[tuple[str, bool]] = []
    monkeypatch.setattr(process, "on_wakeup", lambda run_id, is_for_all: received.append((run_id, is_for_all)))
    exchange = make_broadcast_queue(queue).exchange.name
    assert is_for_one_host(exchange) is not is_for_all
    receive_wakeup.push_request(delivery_info={"exchange": exchange})
    receive_wakeup.run("4711")
    assert received == [("4711", is_for_all)]
