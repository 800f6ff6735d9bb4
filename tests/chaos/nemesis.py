"""The fault injector, named as in Jepsen: injects faults at random times and records them.

A seed determines the faults and their order.
"""

import random
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from executor.failpoints import BUILD_POINTS, POINTS, WARM_POINTS
from tests.chaos.check import ENGINE, Fault
from tests.chaos.cluster import Cluster
from tests.forks import Process

# Ranges in seconds.
PAUSES = 1.0, 4.0  # between two faults
FREEZE = 5.0, 40.0  # of a worker; when the lease expires, another worker takes over
OUTAGE = 1.0, 8.0  # of Redis and of an engine
ENGINE_DELAY = 0.0, 2.0  # from the start of a script to the fault of its engine
FAILPOINTS = (*POINTS, *(point for point in WARM_POINTS if point != "warm-taken"))  # of workers
FAILPOINTS_WITH_BUILDS = (*FAILPOINTS, *BUILD_POINTS)
MAX_WAIT_SECONDS = 20.0  # for a failpoint to be reached, and for an engine to get a run


T = TypeVar("T")


class Deck(Generic[T]):
    """Draws cards at random; each card once before any card repeats. A short trial thus draws every kind of fault."""

    def __init__(self, rng: random.Random, *cards: T) -> None:
        self._rng, self._cards = rng, cards
        self._left: list[T] = []

    def draw(self) -> T:
        if not self._left:
            self._left = self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()


class Nemesis:
    """Injects faults until `stopped` is set, then restores everything. `failpoints` are those not reached yet.

    `unexpected_exits` lists processes that ended without a fault.
    """

    def __init__(
        self,
        cluster: Cluster,
        seed: int,
        failpoints: Sequence[str] = FAILPOINTS,
        failpoint_seconds: float = MAX_WAIT_SECONDS,
    ) -> None:
        self.cluster, self.rng = cluster, random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.unexpected_exits: list[str] = []
        self.slowest_exit = 0.0  # after SIGTERM, in seconds
        self.stopped = threading.Event()
        self.is_finished = False
        self.failpoint_seconds = failpoint_seconds
        self.failpoints = list(failpoints)
        self.rng.shuffle(self.failpoints)
        self._ended: set[Process] = set()  # ended by a fault, or reported
        self._faults = Deck[Callable[[], None]](
            self.rng,
            *(self._kill_process, self._freeze_process, self._restart_process),
            *(self._crash_at_failpoint, self._crash_at_failpoint, self._crash_at_failpoint),
            *(self._break_database, self._break_redis, self._break_engine),
        )
        self._engine_signals = Deck(self.rng, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
        self._redis_faults = Deck(self.rng, "cut", "frozen", "killed")

    def run(self) -> None:
        try:
            while not self.stopped.wait(self.rng.uniform(*PAUSES)):
                self._restart_ended()
                self._faults.draw()()
            self._restore_all()
            self.is_finished = True
        except Exception:  # noqa: BLE001 - is_finished stays False, which fails the trial
            traceback.print_exc()

    def record_exits(self) -> None:
        for name, process in self.cluster.processes.items():
            if process.poll() is not None and process not in self._ended:
                self._ended.add(process)
                self.unexpected_exits.append(f"{name} ended without a fault, with exit code {process.returncode}")

    def _log_fault(self, fault: str) -> None:
        self.counts[fault] += 1
        print(f"{time.strftime('%H:%M:%S')} nemesis: {fault}", flush=True)

    @contextmanager
    def _record_fault(self, target: str) -> Iterator[None]:
        begin = time.time()
        try:
            yield
        finally:
            self.faults.append(Fault(target, begin, time.time()))

    def _choose_process(self, *names: str) -> str:
        return self.rng.choice(names or ("web", "a", "b"))

    def _restart_ended(self) -> None:
        self.record_exits()
        for name, process in self.cluster.processes.items():
            if process.poll() is not None:
                self.cluster.start_process(name)

    def _end_process(self, name: str, number: signal.Signals) -> None:
        process = self.cluster.processes[name]
        self._ended.add(process)
        self.cluster.signal_process(name, number)
        process.wait(60)

    def _kill_process(self) -> None:
        name = self._choose_process("web", "a", "b", "a", "b")
        self._log_fault(f"SIGKILL {name}")
        with self._record_fault(name):
            self._end_process(name, signal.SIGKILL)

    def _restart_process(self) -> None:
        name = self._choose_process()
        self._log_fault(f"SIGTERM {name}")
        started_at = time.monotonic()
        with self._record_fault(name):
            self._end_process(name, signal.SIGTERM)
        self.slowest_exit = max(self.slowest_exit, time.monotonic() - started_at)

    def _freeze_process(self) -> None:
        name, seconds = self._choose_process(), self.rng.uniform(*FREEZE)
        self._log_fault(f"SIGSTOP {name}")
        with self._record_fault(name):
            self.cluster.signal_process(name, signal.SIGSTOP)
            frozen = self.cluster.processes[name]
            if name != "web" and seconds > 15:
                self.cluster.start_process(name)  # a second worker of the same name takes over
            self.stopped.wait(seconds)
            frozen.send_signal(signal.SIGCONT)
            if frozen is not self.cluster.processes[name]:
                self.stopped.wait(2)  # gives the fenced worker time to act
                frozen.kill()
                frozen.wait()

    def _crash_at_failpoint(self) -> None:
        """Starts a worker that crashes at a failpoint. A failpoint that was not reached is tried again later."""
        if not self.failpoints:
            return self._kill_process()
        failpoint, name = self.failpoints.pop(0), self._choose_process("a", "b")
        with self._record_fault(name):
            self._end_process(name, signal.SIGKILL)
            self.cluster.start_process(name, failpoint)
            worker = self.cluster.processes[name]
            deadline = time.monotonic() + self.failpoint_seconds
            while worker.poll() is None and time.monotonic() < deadline and not self.stopped.wait(0.1):
                pass
            is_reached = worker.poll() is not None
            self._log_fault(f"crash at {failpoint}" if is_reached else "failpoint not reached")
            if is_reached and worker.returncode == -signal.SIGKILL:
                self._ended.add(worker)
            if not is_reached:
                self.failpoints.append(failpoint)
                self._end_process(name, signal.SIGKILL)

    def _break_database(self) -> None:
        self._log_fault("PostgreSQL connections")
        self.cluster.break_connections()

    def _break_redis(self) -> None:
        broker, fault = self.cluster.broker, self._redis_faults.draw()
        self._log_fault(f"Redis {fault}")
        if fault == "cut":
            return broker.drop_connections()
        broker.send_signal(signal.SIGSTOP) if fault == "frozen" else broker.kill()
        self.stopped.wait(self.rng.uniform(*OUTAGE))
        broker.send_signal(signal.SIGCONT) if fault == "frozen" else broker.start()
        return None

    def _break_engine(self) -> None:
        """Waits until the engine has a run, at most MAX_WAIT_SECONDS."""
        number = self._engine_signals.draw()
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while not self.cluster.has_run_on_b() and time.monotonic() < deadline and not self.stopped.wait(0.2):
            pass
        self.stopped.wait(self.rng.uniform(*ENGINE_DELAY))
        self._log_fault(f"dockerd b {number.name}")
        with self._record_fault(ENGINE):
            self.cluster.signal_engine(number)
            self.stopped.wait(self.rng.uniform(*OUTAGE))
            self.cluster.signal_engine(signal.SIGCONT)
            self.cluster.control_engine("start")

    def _restore_all(self) -> None:
        self.cluster.broker.start()
        self.cluster.control_engine("start")
        self._restart_ended()
