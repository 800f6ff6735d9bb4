"""The outbox when transactions are committed in another order than their ids. test_on_postgres runs this file."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from django.db import connection, connections, transaction

from cronium_admin.jobs.models import Job
from cronium_admin.runs import outbox, state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import OutboxEvent, Run
from cronium_admin.runs.outbox import advance_cursor, read_events, register_consumer
from tests.unit.other_process import OtherProcess
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture(autouse=True)
def _on_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection.vendor == "postgresql"
    monkeypatch.setattr(outbox, "_assumed_until", 0.0)


class OpenTransaction:
    """A transaction on another connection: it has executed `action`, and is committed at the end of the block."""

    def __init__(self, action: Callable[[], object], *, waits_for_lock: bool = False) -> None:
        self._action, self._waits_for_lock = action, waits_for_lock
        self._is_done, self._may_end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._error: BaseException | None = None

    def _run(self) -> None:
        try:
            with transaction.atomic():
                self._action()
                self._is_done.set()
                assert self._may_end.wait(30)
        except BaseException as error:  # noqa: BLE001 - raised at the end
            self._error = error
        finally:
            connections.close_all()

    def __enter__(self) -> "OpenTransaction":
        self._thread.start()
        if self._waits_for_lock:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"
            for _ in range(200):
                with connection.cursor() as cursor:
                    cursor.execute(query)
                    if cursor.fetchone()[0]:
                        return self
                threading.Event().wait(0.05)
            raise AssertionError("it waits for no lock")
        assert self._is_done.wait(30)
        return self

    def commit(self) -> None:
        self._may_end.set()
        self._thread.join(30)
        if self._error:
            raise self._error

    def __exit__(self, *_: object) -> None:
        with suppress(BaseException):
            self.commit()


def read() -> list[tuple[object, str]]:
    batch = read_events("a")
    assert advance_cursor("a", batch.start, batch.end)
    return [(event.run_id, event.kind) for event in batch.events]


@pytest.fixture
def runs(job: Job) -> list[Run]:
    return [launch(job, get_admin()) for _ in range(3)]


def cancel(run: Run) -> None:
    assert state_machine.cancel_queued(run.pk, "me")


def test_an_event_with_a_lower_id_that_is_committed_later_is_not_passed(runs: list[Run]) -> None:
    assert register_consumer("a")
    with OpenTransaction(lambda: cancel(runs[0])) as slow:
        cancel(runs[1])
        assert read() == [(runs[1].pk, "cancelled")]
        assert read() == []
        slow.commit()
    ids = dict(OutboxEvent.objects.values_list("run_id", "id"))
    assert ids[runs[0].pk] < ids[runs[1].pk], "or this proves nothing"
    cancel(runs[2])
    assert read() == [(runs[0].pk, "cancelled"), (runs[2].pk, "cancelled")]


def test_a_transaction_that_stays_open_holds_up_no_other_event(runs: list[Run]) -> None:
    assert register_consumer("a")
    with OpenTransaction(lambda: cancel(runs[0])):
        for run in runs[1:]:
            cancel(run)
            assert read() == [(run.pk, "cancelled")]
    assert read() == [(runs[0].pk, "cancelled")]


def test_a_reader_waits_for_one_that_is_assigning_positions(runs: list[Run]) -> None:
    """Otherwise two events could get the same position, if an event with a lower id is committed meanwhile."""
    assert register_consumer("a")

    def assign() -> None:
        outbox._lock_positions()
        outbox._assign_positions()

    got: list[tuple[object, str]] = []

    def read_all() -> None:
        try:
            got.extend(read())
        finally:
            connections.close_all()

    reader = threading.Thread(target=read_all)
    with OpenTransaction(lambda: cancel(runs[0])) as slow:
        cancel(runs[1])
        with OpenTransaction(assign) as first:
            slow.commit()
            reader.start()
            reader.join(0.5)
            assert reader.is_alive()
            first.commit()
        reader.join(30)
    assert got == [(runs[1].pk, "cancelled"), (runs[0].pk, "cancelled")]


def test_a_consumer_is_registered_once_no_change_is_open_that_did_not_know_of_it(runs: list[Run]) -> None:
    with OpenTransaction(lambda: cancel(runs[0])) as before:
        assert not register_consumer("a", 0.2)
        cancel(runs[1])  # this transaction knows the consumer, and is not delayed
        assert not register_consumer("a", 0.2)
        before.commit()
        assert register_consumer("a", 10)
    assert read() == [(runs[1].pk, "cancelled")]


def test_a_launch_that_has_looked_for_consumers_is_waited_for(runs: list[Run], job: Job) -> None:
    with OpenTransaction(lambda: launch(job, get_admin())) as before:
        assert not register_consumer("a", 0.2)
        before.commit()
        assert register_consumer("a", 10)
    assert read() == []


def test_a_change_that_waits_for_the_lock_of_its_run_is_waited_for_too(runs: list[Run]) -> None:
    """Its statement began before the consumer was registered, so it saw no consumer, and it is still running."""

    def lock() -> None:
        Run.objects.select_for_update().get(pk=runs[0].pk)

    with OpenTransaction(lock) as holder, OpenTransaction(lambda: cancel(runs[0]), waits_for_lock=True) as waiting:
        assert not register_consumer("a", 0.2)
        holder.commit()
        assert not register_consumer("a", 0.2)
        waiting.commit()
        assert register_consumer("a", 10)
    assert read() == []
    cancel(runs[1])
    assert read() == [(runs[1].pk, "cancelled")]


def test_the_events_of_one_run_have_the_order_of_its_changes(runs: list[Run], job: Job) -> None:
    """Two concurrent changes of one run: the second waits for the first, and gets the later id."""
    assert state_machine.claim_next("host", "owner", lambda: runs[0].pk)
    assert register_consumer("a")

    def begin() -> None:
        assert state_machine.mark_running(runs[0].pk, 1, "sha256:1")

    def request_cancel() -> None:
        assert state_machine.request_cancel(runs[0].pk, get_admin().pk, "me")

    with OpenTransaction(begin) as first, OpenTransaction(request_cancel, waits_for_lock=True) as second:
        first.commit()
        second.commit()
    assert read() == [(runs[0].pk, "started"), (runs[0].pk, "cancel_requested")]


def test_a_process_that_is_frozen_while_it_assigns_positions_holds_up_the_readers_for_seconds(
    runs: list[Run], tmp_path: Path
) -> None:
    assert register_consumer("a")
    cancel(runs[0])
    code = """
from django.db import transaction
from cronium_admin.runs import outbox
with transaction.atomic():
    outbox._lock_positions()
    outbox._assign_positions()
    wait()
"""
    with OtherProcess(code, tmp_path) as other:
        other.await_point()
        other.freeze()
        assert read() == [(runs[0].pk, "cancelled")], "after the 10 s that PostgreSQL gives it"
