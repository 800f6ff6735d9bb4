"""The removal of sandboxes after their runs: their slots are free, and nothing that uses memory is forgotten."""

import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from executor.docker.errors import EngineError
from executor.naming import name_main
from executor.run.outcome import CANCEL
from executor.run.supervisor import Supervisor
from executor.sandbox.options import SIDECAR_LIMITS
from executor.sandbox.subnets import SubnetPool
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import SMALL, Remembering, make_spec

FOREVER = "echo up; while :; do sleep 0.05; done"


class Busy(FakeEngine):
    """Networks are removed only when `go_on` is set; `most` counts simultaneous removals. `stuck` refuses to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.stuck = False
        self.removing = self.most = 0
        self._counting = threading.Lock()

    def _enter(self, method: str) -> None:
        super()._enter(method)
        if self.stuck and method in ("stop", "remove_container"):
            raise EngineError("it is busy.")

    def remove_network(self, name: str) -> None:
        with self._counting:
            self.removing += 1
            self.most = max(self.most, self.removing)
        self.go_on.wait(20)
        super().remove_network(name)
        with self._counting:
            self.removing -= 1


@pytest.fixture
def engine() -> Iterator[Busy]:
    made = Busy()
    yield made
    made.go_on.set()
    made.close()


@pytest.fixture
def freed() -> threading.Semaphore:
    return threading.Semaphore(0)


@pytest.fixture
def supervisor(engine: Busy, freed: threading.Semaphore) -> Iterator[Supervisor]:
    made = Supervisor(engine, 2, SubnetPool(IPv4Network("10.215.0.0/24")), freed.release)
    yield made
    engine.go_on.set()
    engine.stuck = False
    assert made.close(20)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.sandbox.sandbox.MAIN_GRACE", 1)
    monkeypatch.setattr("executor.run.ending.FIRST_PAUSE", 0.02)
    monkeypatch.setattr("executor.run.ending.LONGEST_PAUSE", 0.05)
    monkeypatch.setattr("executor.docker.retry.FAILING_SECONDS", 0.2)


def wait_until_removing(supervisor: Supervisor, number: int) -> None:
    end = time.monotonic() + 10
    while len(supervisor._removing) != number:
        assert time.monotonic() < end, supervisor._removing
        time.sleep(0.01)


def test_a_slot_is_free_when_the_result_is_stored(
    engine: Busy, supervisor: Supervisor, freed: threading.Semaphore
) -> None:
    spec, told = make_spec(script="echo done"), Remembering()
    supervisor.start(spec, told)
    assert freed.acquire(timeout=10)
    assert "cleaned" not in told.events
    assert (supervisor.count_free(), supervisor.count_running()) == (2, 0)
    assert supervisor.list_active() == {spec.run_id}, "its objects are still handled here"
    assert not supervisor.stop(spec.run_id), "there is nothing to stop"
    engine.go_on.set()
    told.wait_for("cleaned")
    assert freed.acquire(timeout=10)
    assert (supervisor.list_active(), engine.left) == (frozenset(), [])


def test_the_script_has_ended_before_its_slot_is_free(engine: Busy, supervisor: Supervisor) -> None:
    running: list[bool] = []
    free_slot = supervisor._free_slot

    def look(slot: object) -> None:
        running.append(engine.containers[name_main(spec.run_id)].status == "running")
        free_slot(slot)  # type: ignore[arg-type]

    supervisor._free_slot = look  # type: ignore[method-assign]
    spec, told = make_spec(script=FOREVER), Remembering()
    supervisor.start(spec, told)
    told.wait_for_text(b"up")
    supervisor.stop(spec.run_id, CANCEL)
    told.wait_for("finish")
    wait_until_removing(supervisor, 1)
    assert running == [False]


def test_sandboxes_that_wait_for_their_removal_occupy_slots_beyond_a_limit(
    engine: Busy, supervisor: Supervisor
) -> None:
    free = []
    for number in range(1, 5):
        supervisor.start(make_spec(script="echo done"), Remembering())
        wait_until_removing(supervisor, number)
        free.append(supervisor.count_free())
    assert free == [2, 2, 1, 0]
    assert engine.most <= 2
    engine.go_on.set()
    wait_until_removing(supervisor, 0)
    assert supervisor.count_free() == 2


def test_what_waits_for_its_removal_counts_with_its_sidecar(engine: Busy, supervisor: Supervisor) -> None:
    supervisor.start(make_spec(script="echo done"), Remembering())
    wait_until_removing(supervisor, 1)
    ended = supervisor.sum_ended()
    assert (ended.nano_cpus, ended.memory_bytes) == (0, SIDECAR_LIMITS.memory_bytes)
    engine.go_on.set()
    wait_until_removing(supervisor, 0)
    assert supervisor.sum_ended().memory_bytes == 0


def test_a_script_that_cannot_be_stopped_keeps_its_slot_and_counts_with_its_limits(
    engine: Busy, supervisor: Supervisor, freed: threading.Semaphore
) -> None:
    engine.go_on.set()
    spec, told = make_spec(script=FOREVER), Remembering()
    supervisor.start(spec, told)
    told.wait_for_text(b"up")
    engine.stuck = True
    supervisor.stop(spec.run_id, CANCEL)
    told.wait_for("finish")
    assert told.result is not None
    assert "may still run" in told.result.message
    time.sleep(0.5)  # more than all tries of a removal that nobody needs
    assert (supervisor.count_running(), supervisor.count_free()) == (1, 1)
    ended = supervisor.sum_ended()
    assert ended.nano_cpus == SMALL.nano_cpus
    assert ended.memory_bytes == SMALL.memory_bytes + SIDECAR_LIMITS.memory_bytes
    assert not freed.acquire(blocking=False)
    engine.stuck = False
    told.wait_for("cleaned")
    assert freed.acquire(timeout=10)
    assert (supervisor.count_free(), supervisor.sum_ended().memory_bytes, engine.left) == (2, 0, [])


def test_a_script_that_cannot_be_stopped_does_not_hold_up_a_hand_over(engine: Busy, supervisor: Supervisor) -> None:
    engine.go_on.set()
    spec, told = make_spec(script=FOREVER), Remembering()
    supervisor.start(spec, told)
    told.wait_for_text(b"up")
    engine.stuck = True
    supervisor.stop(spec.run_id, CANCEL)
    told.wait_for("finish")
    assert supervisor.release(5)


@pytest.mark.parametrize("end", ["close", "release"])
def test_an_end_of_the_process_waits_for_the_removals(engine: Busy, supervisor: Supervisor, end: str) -> None:
    supervisor.start(make_spec(script="echo done"), Remembering())
    wait_until_removing(supervisor, 1)
    assert not getattr(supervisor, end)(0.1)
    engine.go_on.set()
    assert getattr(supervisor, end)(10)
    assert engine.left == []


def test_a_failing_store_of_the_removal_changes_no_result(engine: Busy, supervisor: Supervisor) -> None:
    class Failing(Remembering):
        def mark_cleaned(self) -> None:
            self._note("cleaned")
            raise RuntimeError("the database is away")

    engine.go_on.set()
    told = Failing()
    supervisor.start(make_spec(script="echo done"), told)
    told.wait_for("cleaned")
    wait_until_removing(supervisor, 0)
    assert told.events.count("finish") == 1
