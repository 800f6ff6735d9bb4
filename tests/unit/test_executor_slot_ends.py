"""The end of a slot: handed-over runs, runs that may be called stopped, and containers that stay without a stored
result."""

import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor.docker.errors import EngineError, EngineUnreachable
from executor.naming import name_main
from executor.run.outcome import CANCEL, SHUTDOWN
from executor.run.slot import Slot
from executor.run.supervisor import Supervisor
from executor.sandbox.bootstrap import NOT_RECEIVED_MESSAGE
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from executor.spec import Cursor, Resumption, RunSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import Remembering, make_binding, make_spec

FOREVER = "echo up; while :; do sleep 0.05; done"
AFRESH = Resumption(Cursor(), Cursor(), 30.0)


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    yield made
    made.close()


@pytest.fixture
def supervisor(engine: FakeEngine) -> Iterator[Supervisor]:
    made = Supervisor(engine, 4, SubnetPool(IPv4Network("10.215.0.0/24")), lambda: None)
    yield made
    made.close(1)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.sandbox.sandbox.MAIN_GRACE", 1)
    monkeypatch.setattr("executor.run.ending.CLEAN_TRIES", 1)
    monkeypatch.setattr("executor.run.ending.READER_SECONDS", 0.1)
    monkeypatch.setattr("executor.docker.retry.AWAY_SECONDS", 0.2)
    monkeypatch.setattr("executor.docker.retry.FAILING_SECONDS", 0.2)


def gone(supervisor: Supervisor) -> bool:
    """Whether its slots end soon."""
    end = time.monotonic() + 10
    while supervisor.list_active() and time.monotonic() < end:
        time.sleep(0.02)
    return not supervisor.list_active()


def is_running(engine: FakeEngine, spec: RunSpec) -> bool:
    one = engine.containers.get(name_main(spec.run_id))
    return one is not None and one.status == "running"


class TestHandedOver:
    def test_what_is_claimed_while_it_lets_go_waits_again(self, engine: FakeEngine, supervisor: Supervisor) -> None:
        assert supervisor.release(1)
        told = Remembering()
        supervisor.start(make_spec(script="echo it ran"), told)
        assert gone(supervisor)
        assert (told.result, told.events, told.log()) == (None, ["requeue"], b"")
        assert engine.calls["create_network"] == 0
        assert supervisor.count_free() == 0

    def test_what_is_adopted_while_it_lets_go_runs_on(self, engine: FakeEngine, supervisor: Supervisor) -> None:
        spec, first = make_spec(script=FOREVER), Remembering()
        supervisor.start(spec, first)
        first.wait_for_text(b"up")
        assert supervisor.release(5)
        told = Remembering()
        supervisor.start(spec, told, AFRESH)
        assert gone(supervisor)
        assert (told.result, told.batches) == (None, [])
        assert is_running(engine, spec)

    def test_a_release_while_it_is_adopted_leaves_no_reader_behind(
        self, engine: FakeEngine, supervisor: Supervisor
    ) -> None:
        spec, first = make_spec(script=FOREVER), Remembering()
        supervisor.start(spec, first)
        first.wait_for_text(b"up")
        assert supervisor.release_all(5)
        told = Remembering()
        engine.before["inspect"] = lambda: supervisor.release_all(0) and None
        supervisor.start(spec, told, AFRESH)
        assert gone(supervisor)
        time.sleep(0.2)
        assert (told.result, told.batches, engine.calls["open_log"]) == (None, [], 0)
        assert is_running(engine, spec)

    @pytest.mark.parametrize("method", ["ping", "attach"])
    def test_a_release_while_it_connects_again_leaves_no_connection_behind(
        self, engine: FakeEngine, supervisor: Supervisor, method: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("executor.output.follower.EXIT_SECONDS", 0)
        connects, go_on = threading.Event(), threading.Event()

        def wait() -> None:
            if threading.current_thread().name.startswith("log-"):
                connects.set()
                go_on.wait(10)

        engine.before[method], engine.cut_output_after = wait, 8 + 3
        spec, told = make_spec(script=FOREVER), Remembering()
        supervisor.start(spec, told)
        assert connects.wait(10)
        assert supervisor.release(5)
        go_on.set()
        for thread in threading.enumerate():
            if spec.run_id[:8] in thread.name:
                thread.join(5)
                assert not thread.is_alive(), thread.name
        for container in engine.containers.values():
            for end in (*container.outputs, *container.inputs):
                end.settimeout(5)
                while end.recv(1000):
                    pass
        assert engine.calls["open_log"] == 0
        assert is_running(engine, spec)


class Stuck(FakeEngine):
    """With `stuck`, stop and removal raise it; with `silent`, every call does."""

    stuck: EngineError | None = None
    silent = False

    def _enter(self, method: str) -> None:
        super()._enter(method)
        if self.stuck and (self.silent or method in ("stop", "remove_container", "remove_network")):
            raise self.stuck


class TestStopped:
    @pytest.fixture
    def engine(self) -> Iterator[Stuck]:
        made = Stuck()
        yield made
        made.stuck = None
        made.close()

    @pytest.mark.parametrize(
        ("error", "silent"), [(EngineError("it is busy."), False), (EngineUnreachable("no answer."), True)]
    )
    def test_nothing_is_called_stopped_that_may_still_run(
        self, engine: Stuck, supervisor: Supervisor, error: EngineError, silent: bool
    ) -> None:
        spec, told = make_spec(script=FOREVER), Remembering()
        supervisor.start(spec, told)
        told.wait_for_text(b"up")
        engine.silent, engine.stuck = silent, error
        supervisor.stop(spec.run_id, CANCEL)
        told.wait_for("finish")
        assert is_running(engine, spec)
        assert told.result is not None
        assert (told.result.status, told.result.reason) == ("errored", error.reason)
        assert "may still run" in told.result.message
        assert "A stop had been requested" in told.result.message

    def test_a_script_that_ended_while_the_engine_was_away_has_its_own_result(
        self, engine: Stuck, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("executor.docker.retry.AWAY_SECONDS", 20)
        spec, told = make_spec(script="echo up; sleep 0.3; echo down; exit 3"), Remembering()
        supervisor.start(spec, told)
        told.wait_for_text(b"up")
        engine.silent, engine.stuck = True, EngineUnreachable("no answer.")
        assert engine.containers[name_main(spec.run_id)].gone.wait(10)
        supervisor.stop(spec.run_id, CANCEL)
        time.sleep(0.3)
        engine.stuck = None
        told.wait_for("finish")
        assert told.result is not None
        assert (told.result.status, told.result.exit_code, told.log()) == ("failed", 3, b"up\ndown\n")

    def test_it_is_once_the_container_is_seen_not_to_run(self, engine: Stuck, supervisor: Supervisor) -> None:
        spec, told = make_spec(script=FOREVER), Remembering()
        supervisor.start(spec, told)
        told.wait_for_text(b"up")

        def ends_and_refuses() -> None:
            engine.before.clear()
            engine._signal(engine.containers[name_main(spec.run_id)], 9)  # type: ignore[arg-type]
            engine.containers[name_main(spec.run_id)].gone.wait(5)

        engine.stuck = EngineError("it is busy.")
        engine.before["stop"] = ends_and_refuses
        supervisor.stop(spec.run_id, CANCEL)
        told.wait_for("finish")
        assert told.result is not None
        assert told.result.status == "cancelled"


class TestDeadConnections:
    """A connection that breaks without an error gets no end."""

    @pytest.fixture(autouse=True)
    def _short_stalls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("executor.run.slot.STALL_SECONDS", 0.1)

    @pytest.mark.parametrize(
        ("seconds", "expected"), [(30.0, ("cancelled", "cancelled", 143)), (1.0, ("timed_out", "timeout", 143))]
    )
    def test_a_run_is_stopped_and_its_log_is_whole(
        self, engine: FakeEngine, supervisor: Supervisor, seconds: float, expected: tuple[str, str, int]
    ) -> None:
        spec, told = (
            make_spec(script=f"trap 'echo last; exit 143' TERM; {FOREVER}", timeout_seconds=seconds),
            Remembering(),
        )
        supervisor.start(spec, told)
        told.wait_for_text(b"up")
        engine.is_mute = True
        end = time.monotonic() + 10
        while told.result is None and time.monotonic() < end:
            if expected[0] == "cancelled":  # repeated by each heartbeat
                supervisor.stop(spec.run_id, CANCEL)
            time.sleep(0.02)
        assert told.result is not None
        assert (told.result.status, told.result.reason, told.result.exit_code) == expected
        assert told.log() == b"up\nlast\n"

    def test_a_slow_store_is_no_dead_connection(
        self, engine: FakeEngine, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("executor.run.slot.STALL_SECONDS", 1.0)  # a busy machine takes its time after the store

        class Slow(Remembering):
            def append(self, batch: Any) -> None:
                if b"last" in b"".join(part.text for part in batch.segments):
                    time.sleep(2.5)
                super().append(batch)

        spec, told = make_spec(script=f"trap 'echo last; exit 143' TERM; {FOREVER}"), Slow()
        supervisor.start(spec, told)
        told.wait_for_text(b"up")
        supervisor.stop(spec.run_id, CANCEL)
        told.wait_for("finish", 10)
        assert (told.log(), engine.calls["open_log"]) == (b"up\nlast\n", 0)


class TestOwnEnds:
    """A script that has exited keeps its own result, whatever happens while its log is stored."""

    @pytest.mark.parametrize("why", ["", CANCEL, SHUTDOWN])
    def test_the_storing_of_its_log_takes_longer_than_its_time(
        self, engine: FakeEngine, supervisor: Supervisor, why: str
    ) -> None:
        entered, go_on = threading.Event(), threading.Event()

        class Slow(Remembering):
            def append(self, batch: Any) -> None:
                entered.set()
                go_on.wait(10)
                super().append(batch)

        spec, told = make_spec(script="echo done", timeout_seconds=30.0 if why else 0.5), Slow()
        supervisor.start(spec, told)
        assert entered.wait(10)
        assert engine.containers[name_main(spec.run_id)].gone.wait(10)
        if why:
            supervisor.stop(spec.run_id, why)
        time.sleep(0.7)
        supervisor.stop(spec.run_id, CANCEL)
        go_on.set()
        told.wait_for("finish")
        assert told.result is not None
        assert (told.result.status, told.result.exit_code, told.log()) == ("succeeded", 0, b"done\n")

    def test_a_cancel_after_its_whole_log_is_stored(
        self, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec, told = make_spec(script="echo done"), Remembering()
        monkeypatch.setattr(
            "executor.run.slot.failpoints.hit",
            lambda name: name == "drained" and supervisor.stop(spec.run_id, CANCEL),
        )
        supervisor.start(spec, told)
        told.wait_for("finish")
        assert told.result is not None
        assert told.result.status == "succeeded"

    def test_a_log_that_is_too_long_counts_all_the_same(self, engine: FakeEngine, supervisor: Supervisor) -> None:
        """The limit is exceeded while main is inspected because of a cancel."""
        store, look, looked = threading.Event(), threading.Event(), threading.Event()

        class Slow(Remembering):
            def append(self, batch: Any) -> None:
                store.wait(10)
                super().append(batch)

        def wait_to_look() -> None:
            looked.set()
            look.wait(10)

        script = "echo first; sleep 0.3; head -c 1000 /dev/zero"
        spec, told = make_spec(script=script, log_limit_bytes=100), Slow()
        supervisor.start(spec, told)
        told.wait_for("may_begin")
        assert engine.containers[name_main(spec.run_id)].gone.wait(10)
        engine.before["inspect"] = wait_to_look
        supervisor.stop(spec.run_id, CANCEL)
        assert looked.wait(10)
        store.set()
        told.wait_for("append")
        time.sleep(0.3)
        look.set()
        told.wait_for("finish")
        assert told.result is not None
        assert (told.result.status, told.result.reason) == ("failed", "output_limit")

    @pytest.mark.parametrize("point", ["", "adopted"])  # it ends before, or while it is taken over
    @pytest.mark.parametrize(("stopped", "status"), [("", "failed"), (CANCEL, "cancelled")])
    def test_one_that_another_process_stopped_did_not_end_by_itself(
        self,
        engine: FakeEngine,
        supervisor: Supervisor,
        stopped: str,
        status: str,
        point: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        spec, first = make_spec(script=FOREVER), Remembering()
        supervisor.start(spec, first)
        first.wait_for_text(b"up")
        assert supervisor.release_all(5)
        if point:
            monkeypatch.setattr(
                "executor.run.slot.failpoints.hit",
                lambda name: name == point and engine.stop(name_main(spec.run_id), 1),
            )
        else:
            engine.stop(name_main(spec.run_id), 1)
        told = Remembering()
        slot = Slot(
            *(engine, spec, told, SubnetPool(IPv4Network("10.215.0.0/24")), threading.Semaphore(1)),
            Resumption(Cursor(), Cursor(), 30.0, stopped=stopped),
        )
        slot.stop(CANCEL)  # requested again, before it has read main's state
        slot.run()
        assert told.result is not None
        assert (told.result.status, told.result.exit_code) == (status, 143)


class TestUnreadable:
    """The connection broke, and the engine's log does not have the rest."""

    @pytest.fixture(autouse=True)
    def _few_tries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("executor.output.follower.LONGEST_PAUSE", 0.01)
        monkeypatch.setattr("executor.output.follower.FAILING_TRIES", 5)
        monkeypatch.setattr("executor.output.follower.EXIT_SECONDS", 0)
        monkeypatch.setattr("executor.output.resume.EXIT_SECONDS", 0)

    @pytest.mark.parametrize("how", ["fails", "breaks"])
    @pytest.mark.parametrize("script", ["echo up; echo down", FOREVER])
    def test_it_is_given_up_after_a_while(
        self, engine: FakeEngine, supervisor: Supervisor, script: str, how: str
    ) -> None:
        def refuse() -> None:
            if how == "fails":
                raise EngineError("the log is damaged.")
            engine.cut_log_after = 0

        engine.cut_output_after, engine.before["open_log"] = 8 + 3, refuse
        stopped = script == FOREVER and how == "breaks"  # it may have been silent, so it has its time
        spec, told = make_spec(script=script, timeout_seconds=2.0 if stopped else 30.0), Remembering()
        supervisor.start(spec, told)
        told.wait_for("finish", 20)
        assert told.result is not None
        assert told.result.status == ("timed_out" if stopped else "errored")
        assert told.log() == b"up\n"
        assert gone(supervisor)
        assert engine.left == []

    def test_one_that_breaks_while_the_script_is_silent_is_read_again(
        self, engine: FakeEngine, supervisor: Supervisor
    ) -> None:
        def break_often() -> None:
            engine.cut_log_after = 0 if is_running(engine, spec) else None

        engine.cut_output_after, engine.before["open_log"] = 8 + 3, break_often
        spec, told = make_spec(script="echo up; sleep 1; echo down"), Remembering()
        supervisor.start(spec, told)
        told.wait_for("finish", 20)
        assert told.result is not None
        assert (told.result.status, told.log()) == ("succeeded", b"up\ndown\n")
        assert engine.calls["open_log"] > 6, "it was hardly broken"


class TestSlots:
    def test_the_end_of_a_slot_leaves_a_later_one_of_the_same_run(
        self, engine: FakeEngine, supervisor: Supervisor
    ) -> None:
        told, go_on = Remembering(begin=False), threading.Event()
        told.on_event = lambda event: event == "finish" and go_on.wait(10) and None
        spec = make_spec(script=FOREVER)
        supervisor.start(spec, told)
        told.wait_for("finish")
        first = supervisor._slots[spec.run_id]
        again = Remembering()
        supervisor.start(spec, again)
        again.wait_for_text(b"up")
        go_on.set()
        told.wait_for("cleaned")
        supervisor._drop_slot(first)
        assert supervisor.list_active() == {spec.run_id}
        assert supervisor.stop(spec.run_id)
        again.wait_for("cleaned")
        assert gone(supervisor)


class TestUntold:
    def test_a_result_that_cannot_be_told_keeps_the_container_for_who_comes_next(
        self, engine: FakeEngine, supervisor: Supervisor
    ) -> None:
        class Failing(Remembering):
            def finish(self, result: Any) -> None:
                raise RuntimeError("the database is away, and this process ends")

        spec, failing = make_spec(script="echo done; exit 3"), Failing()
        supervisor.start(spec, failing)
        assert gone(supervisor)
        assert "cleaned" not in failing.events
        told = Remembering()
        slot = Slot(engine, spec, told, SubnetPool(IPv4Network("10.215.0.0/24")), threading.Semaphore(1), AFRESH)
        slot.run()
        assert told.result is not None
        assert (told.result.status, told.result.exit_code, told.log()) == ("failed", 3, b"done\n")
        assert told.events[-2:] == ["finish", "cleaned"]
        assert engine.left == []


@pytest.mark.parametrize("stored", [Cursor(), Cursor(1, len(NOT_RECEIVED_MESSAGE) + 1)])
def test_a_script_that_never_arrived_did_not_run_however_many_workers_die_of_it(
    engine: FakeEngine, stored: Cursor
) -> None:
    """The second worker stored the output of its container, and died before it stored the result."""
    pool = SubnetPool(IPv4Network("10.215.0.0/24"))
    spec, told = make_spec(script="echo it ran"), Remembering()
    first = Sandbox(engine, spec.sandbox, pool)
    first.prepare(make_binding(spec))
    first.detach()  # as a death before the payload does
    Slot(engine, spec, told, pool, threading.Semaphore(1), Resumption(Cursor(), stored, 30.0)).run()
    assert told.result is not None
    assert (told.result.status, told.result.reason) == ("errored", "not_delivered")
    assert told.log() == (b"" if stored.lines else f"{NOT_RECEIVED_MESSAGE}\n".encode())


@pytest.mark.parametrize(("begun_ago", "expected"), [(60.0, ("lost", "tampered")), (0.0, ("errored", "not_delivered"))])
def test_a_container_that_is_younger_than_its_script_was_started_again(
    engine: FakeEngine, begun_ago: float, expected: tuple[str, str]
) -> None:
    """It has exited again before the next worker adopts it."""
    pool = SubnetPool(IPv4Network("10.215.0.0/24"))
    spec, told = make_spec(script="echo it ran"), Remembering()
    first = Sandbox(engine, spec.sandbox, pool)
    first.prepare(make_binding(spec))
    first.detach()
    resumption = Resumption(Cursor(), Cursor(), 30.0, begun_at=time.monotonic() - begun_ago)
    assert engine.containers[name_main(spec.run_id)].gone.wait(10)
    Slot(engine, spec, told, pool, threading.Semaphore(1), resumption).run()
    assert told.result is not None
    assert (told.result.status, told.result.reason) == expected
