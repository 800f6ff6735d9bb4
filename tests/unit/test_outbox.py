"""The outbox: one event for each committed change, for every consumer, with crashes, races and rollbacks."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cronium_admin.jobs.models import Job
from cronium_admin.logs.throttle import Throttle
from cronium_admin.retention import rows
from cronium_admin.retention.deletion import delete_runs
from cronium_admin.runs import outbox, state_machine
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import OutboxConsumer, OutboxEvent, Run, Status
from cronium_admin.runs.outbox import advance_cursor, consume_events, read_events, register_consumer, remove_consumer
from cronium_admin.runs.state_machine import Ending
from tests.unit.other_process import OtherProcess
from tests.users import get_admin

ENDING = Ending(Status.FAILED, "exit_code", "It ended with 3.", 3)
committed = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture(autouse=True)
def _nothing_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_assumed_until", 0.0)


def kinds(consumer: str = "a", limit: int = 100) -> list[str]:
    """The next events of the consumer; advances its cursor."""
    batch = read_events(consumer, limit)
    assert advance_cursor(consumer, batch.start, batch.end)
    return [event.kind for event in batch.events]


def run_through(run: Run) -> None:
    claimed = state_machine.claim_next("host", "owner", lambda: run.pk)
    assert claimed is not None
    assert state_machine.mark_running(run.pk, claimed.lease_epoch, "sha256:1")
    assert state_machine.finish(run.pk, claimed.lease_epoch, ENDING)


@pytest.mark.django_db
class TestEvents:
    def test_a_run_has_an_event_for_each_change_in_order(self, job: Job) -> None:
        assert register_consumer("a")
        run = launch(job, get_admin())
        run_through(run)
        events = read_events("a").events
        assert [(event.kind, event.status, event.reason) for event in events] == [
            ("queued", "queued", ""),
            ("claimed", "starting", ""),
            ("started", "running", ""),
            ("failed", "failed", "exit_code"),
        ]
        assert {event.run_id for event in events} == {run.pk}
        assert [event.position for event in events] == sorted({event.position for event in events})

    def test_a_change_without_a_new_status_says_so(self, job: Job) -> None:
        register_consumer("a")
        run = launch(job, get_admin())
        claimed = state_machine.claim_next("host", "owner")
        assert claimed is not None
        state_machine.requeue(run.pk, claimed.lease_epoch, "again")
        claimed = state_machine.claim_next("host", "owner")
        assert claimed is not None
        state_machine.mark_running(run.pk, claimed.lease_epoch, "sha256:1")
        state_machine.release_lease(run.pk, claimed.lease_epoch)
        state_machine.adopt(run.pk, claimed.lease_epoch, "next", "taken over")
        cancel(Run.objects.get(pk=run.pk), get_admin())
        assert [(event.kind, event.status) for event in read_events("a").events] == [
            ("queued", "queued"),
            ("claimed", "starting"),
            ("requeued", "queued"),
            ("claimed", "starting"),
            ("started", "running"),
            ("released", ""),
            ("adopted", ""),
            ("cancel_requested", ""),
        ]

    def test_reruns_and_runs_of_deleted_jobs_have_events(self, job: Job) -> None:
        register_consumer("a")
        run = launch(job, get_admin())
        state_machine.cancel_queued(run.pk, "me")
        rerun(Run.objects.get(pk=run.pk), get_admin())
        job.delete()
        rerun(Run.objects.get(pk=run.pk), get_admin())
        assert kinds() == ["queued", "cancelled", "queued", "queued"]

    def test_a_change_that_did_not_take_leaves_nothing(self, run: Run) -> None:
        register_consumer("a")
        assert not state_machine.finish(run.pk, 7, ENDING)
        state_machine.cancel_queued(run.pk, "me")
        assert not state_machine.cancel_queued(run.pk, "me")
        assert kinds() == ["cancelled"]

    def test_what_is_rolled_back_leaves_nothing(self, job: Job, run: Run) -> None:
        register_consumer("a")
        with transaction.atomic():
            launch(job, get_admin())
            state_machine.cancel_queued(run.pk, "me")
            transaction.set_rollback(True)
        assert kinds() == []
        assert not OutboxEvent.objects.exists()

    def test_an_event_outlives_its_run(self, job: Job) -> None:
        register_consumer("a")
        run = launch(job, get_admin())
        state_machine.cancel_queued(run.pk, "me")
        assert delete_runs([run.pk], Throttle()) == 1
        assert kinds() == ["queued", "cancelled"]


@pytest.mark.django_db
class TestCost:
    def _queries(self, action: Callable[[], object]) -> list[str]:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            action()
        return [query["sql"] for query in captured.captured_queries]

    def test_without_a_consumer_a_run_costs_no_row_and_no_query(self, job: Job) -> None:
        """Each step needs one INSERT less than with a consumer."""
        run: list[Run] = []
        steps: list[Callable[[], object]] = [
            lambda: run.append(launch(job, get_admin())),
            lambda: state_machine.claim_next("host", "owner", lambda: run[-1].pk),
            lambda: state_machine.mark_running(run[-1].pk, 1, "sha256:1"),
            lambda: state_machine.finish(run[-1].pk, 1, ENDING),
        ]
        launch(job, get_admin())  # fills the caches, and stores the shared texts
        without = [self._queries(step) for step in steps]
        assert not any("runs_outboxevent" in query for step in without for query in step)
        assert not OutboxEvent.objects.exists()
        register_consumer("a")
        for step in steps:
            step()
        run_through(launch(job, get_admin()))
        with_one = [self._queries(step) for step in steps]
        assert [len(step) for step in with_one] == [len(step) + 1 for step in without]
        assert all(sum('INTO "runs_outboxevent"' in query for query in step) == 1 for step in with_one)

    def test_a_consumer_that_was_removed_costs_a_minute_at_most(
        self, job: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        register_consumer("a")
        run_through(launch(job, get_admin()))
        remove_consumer("a")
        OutboxEvent.objects.all().delete()
        run_through(launch(job, get_admin()))
        assert OutboxEvent.objects.count() == 3, "this process does not know yet"
        monkeypatch.setattr(outbox, "_assumed_until", 0.0)
        run_through(launch(job, get_admin()))
        assert OutboxEvent.objects.count() == 3


@pytest.mark.django_db
class TestConsumers:
    def test_a_new_consumer_gets_nothing_of_the_past(self, job: Job, run: Run) -> None:
        register_consumer("a")
        state_machine.cancel_queued(run.pk, "me")
        register_consumer("b")
        launch(job, get_admin())
        assert (kinds("a"), kinds("b")) == (["cancelled", "queued"], ["queued"])

    def test_it_gets_nothing_of_the_past_either_when_it_was_removed_and_comes_back(self, job: Job) -> None:
        register_consumer("a")
        launch(job, get_admin())
        assert remove_consumer("a")
        assert not remove_consumer("a")
        register_consumer("a")
        assert kinds() == []
        launch(job, get_admin())
        assert kinds() == ["queued"]

    def test_to_register_again_keeps_the_cursor(self, job: Job) -> None:
        register_consumer("a")
        launch(job, get_admin())
        register_consumer("a")
        assert kinds() == ["queued"]

    def test_events_come_in_batches_until_there_is_none(self, job: Job) -> None:
        register_consumer("a")
        for _ in range(5):
            launch(job, get_admin())
        assert [len(kinds(limit=2)) for _ in range(4)] == [2, 2, 1, 0]

    def test_events_that_are_not_advanced_over_come_again(self, job: Job) -> None:
        register_consumer("a")
        launch(job, get_admin())
        assert len(read_events("a").events) == len(read_events("a").events) == 1

    def test_of_two_processes_one_advances_the_cursor(self, job: Job) -> None:
        register_consumer("a")
        launch(job, get_admin())
        one, two = read_events("a"), read_events("a")
        assert advance_cursor("a", one.start, one.end)
        assert not advance_cursor("a", two.start, two.end)

    def test_an_unknown_consumer_is_an_error_that_says_what_to_do(self) -> None:
        with pytest.raises(outbox.NoSuchConsumer, match="register_consumer"):
            read_events("nobody")

    def test_what_the_handler_writes_is_undone_with_the_cursor(self, job: Job, run: Run) -> None:
        register_consumer("a")
        state_machine.cancel_queued(run.pk, "me")

        def fail(events: Sequence[OutboxEvent]) -> None:
            Run.objects.update(queue="written")
            raise RuntimeError

        with pytest.raises(RuntimeError):
            consume_events("a", fail)
        assert not Run.objects.filter(queue="written").exists()
        handled: list[OutboxEvent] = []
        assert consume_events("a", handled.extend) == len(handled) == 1
        assert consume_events("a", handled.extend) == 0


@pytest.mark.django_db
class TestRetention:
    def _remove(self) -> int:
        before = OutboxEvent.objects.count()
        list(rows.remove_outbox_events(Throttle()))
        return before - OutboxEvent.objects.count()

    def test_what_all_consumers_have_passed_goes_and_no_event_more(self, job: Job) -> None:
        register_consumer("a")
        launch(job, get_admin())
        register_consumer("b")
        launch(job, get_admin())
        kinds("b")
        assert self._remove() == 0
        kinds("a", limit=1)
        assert self._remove() == 1
        launch(job, get_admin())
        assert (kinds("a"), kinds("b")) == (["queued"] * 2, ["queued"])
        assert self._remove() == 2

    def test_without_a_consumer_everything_goes(self, job: Job) -> None:
        register_consumer("a")
        launch(job, get_admin())
        remove_consumer("a")
        assert self._remove() == 1

    def test_positions_go_on_after_all_events_are_removed(self, job: Job) -> None:
        register_consumer("a")
        launch(job, get_admin())
        kinds()
        self._remove()
        launch(job, get_admin())
        assert kinds() == ["queued"]

    def test_a_consumer_that_never_reads_keeps_events_for_thirty_days(
        self, job: Job, caplog: pytest.LogCaptureFixture
    ) -> None:
        register_consumer("gone")
        register_consumer("b")
        launch(job, get_admin())
        assert kinds("b") == ["queued"]
        OutboxEvent.objects.update(at=timezone.now() - timedelta(days=29))
        assert self._remove() == 0
        OutboxEvent.objects.update(at=timezone.now() - timedelta(days=31))
        stale = read_events("gone")
        launch(job, get_admin())
        assert self._remove() == 1
        assert ["gone" in record.message and "'b'" not in record.message for record in caplog.records][-1:] == [True]
        assert not advance_cursor("gone", stale.start, stale.end)
        assert (kinds("gone"), kinds("b")) == (["queued"], ["queued"])


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(15))
def test_in_any_order_of_steps_each_consumer_gets_each_change_once_and_in_order(seed: int, make_job: Any) -> None:
    draw, job = random.Random(seed), make_job()
    expected: dict[str, list[tuple[Any, str]]] = {}  # the events that each consumer has yet to get
    held: dict[str, outbox.Batch] = {}  # the events that a second process of the consumer has read

    def change() -> None:
        run = launch(job, get_admin())
        state_machine.cancel_queued(run.pk, "me")
        for waiting in expected.values():
            waiting += [(run.pk, "queued"), (run.pk, "cancelled")]

    for _ in range(40):
        name = draw.choice("abc")
        match draw.choice(
            ["change", "change", "register", "remove", "read", "read", "hold", "late", "prune", "forget"]
        ):
            case "change":
                change()
            case "register":
                register_consumer(name)
                expected.setdefault(name, [])
            case "remove":
                remove_consumer(name)
                expected.pop(name, None)
                held.pop(name, None)
            case "read" if name in expected:
                batch = read_events(name, limit := draw.randrange(1, 6))
                wanted, expected[name] = expected[name][:limit], expected[name][limit:]
                assert [(event.run_id, event.kind) for event in batch.events] == wanted
                assert advance_cursor(name, batch.start, batch.end)
            case "hold" if name in expected:
                held[name] = read_events(name)
            case "late" if name in held:
                batch = held.pop(name)
                if batch.events and advance_cursor(name, batch.start, batch.end):
                    expected[name] = expected[name][len(batch.events) :]
            case "prune":
                list(rows.remove_outbox_events(Throttle()))
            case "forget":
                outbox._assumed_until = 0.0
    for name, wanted in expected.items():
        assert [(event.run_id, event.kind) for event in read_events(name, 1000).events] == wanted


@committed
class TestProcesses:
    def test_a_process_that_is_killed_after_it_read_leaves_the_events_for_the_next(
        self, job: Job, tmp_path: Path
    ) -> None:
        register_consumer("a")
        launch(job, get_admin())
        code = "from cronium_admin.runs.outbox import read_events\nprint(len(read_events('a').events))\nwait()\n"
        with OtherProcess(code, tmp_path) as other:
            assert other.read_line() == "1"
            other.await_point()
            other.kill()
        assert kinds() == ["queued"]

    @pytest.mark.parametrize("point", ["changed", "committed"])
    def test_a_process_that_is_killed_leaves_the_change_with_its_event_or_neither(
        self, run: Run, tmp_path: Path, point: str
    ) -> None:
        register_consumer("a")
        code = f"""
from django.db import transaction
from cronium_admin.runs import state_machine
with transaction.atomic():
    state_machine.cancel_queued({str(run.pk)!r}, "me")
    if {point!r} == "changed":
        wait()
wait()
"""
        with OtherProcess(code, tmp_path) as other:
            other.await_point()
            other.kill()
        run.refresh_from_db()
        assert (run.status, kinds()) == (("cancelled", ["cancelled"]) if point == "committed" else ("queued", []))

    def test_a_process_that_is_killed_while_it_handles_events_has_handled_none(self, run: Run, tmp_path: Path) -> None:
        register_consumer("a")
        state_machine.cancel_queued(run.pk, "me")
        code = """
from cronium_admin.runs.models import Run
from cronium_admin.runs.outbox import consume_events
def handle(events):
    Run.objects.update(queue="written")
    wait()
consume_events("a", handle)
"""
        with OtherProcess(code, tmp_path) as other:
            other.await_point()
            other.kill()
        run.refresh_from_db()
        assert run.queue == "default"
        assert consume_events("a", lambda events: None) == 1


def in_threads(*actions: Callable[[], object]) -> None:
    """Calls them concurrently, each in a thread with a separate connection; raises the first error."""
    errors: list[BaseException] = []

    def run(action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


@committed
@pytest.mark.parametrize("seed", range(3))
def test_threads_that_change_read_remove_and_register_at_once_lose_nothing(
    seed: int, make_job: Callable[..., Job]
) -> None:
    jobs, admin = [make_job() for _ in range(4)], get_admin()
    register_consumer("a")
    got: dict[str, list[tuple[Any, str]]] = {"a": [], "b": []}
    kept: list[Any] = []  # runs whose changes were committed
    after_b: list[Any] = []  # of those, the ones that began after the second consumer was registered
    has_b, over = threading.Event(), threading.Event()

    def write(number: int) -> None:
        draw = random.Random(seed * 10 + number)
        for _ in range(12):
            knows_b, run = has_b.is_set(), None
            try:
                with transaction.atomic():
                    run = launch(jobs[number], admin)
                    over.wait(draw.random() / 50)
                    state_machine.cancel_queued(run.pk, "me")
                    if draw.random() < 0.25:
                        raise LookupError
            except LookupError:
                continue
            kept.append(run.pk)
            if knows_b:
                after_b.append(run.pk)

    def read(name: str) -> None:
        """One of two processes of a consumer: the result of its handler is committed with the cursor."""
        while True:
            was_over = over.is_set()
            batch = read_events(name, 5)
            if batch.events and advance_cursor(name, batch.start, batch.end):
                got[name] += [(event.run_id, event.kind) for event in batch.events]
            elif was_over and not batch.events:
                return

    def register() -> None:
        over.wait(0.2)
        assert register_consumer("b", 30)
        has_b.set()
        in_threads(lambda: read("b"), lambda: read("b"))

    def remove() -> None:
        while not over.wait(0.05):
            list(rows.remove_outbox_events(Throttle()))

    def write_all() -> None:
        try:
            in_threads(*(lambda number=number: write(number) for number in range(4)))
        finally:
            over.set()

    in_threads(write_all, lambda: read("a"), lambda: read("a"), register, remove)
    assert Counter(got["a"]) == Counter((run_id, kind) for run_id in kept for kind in ("queued", "cancelled"))
    assert set(got["b"]) >= {(run_id, kind) for run_id in after_b for kind in ("queued", "cancelled")}
    assert max(Counter(got["b"]).values(), default=1) == 1
    assert OutboxConsumer.objects.count() == 2
