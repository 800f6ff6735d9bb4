"""Does harm at random moments, and notes what it did. The same seed does the same in the same order."""

import random
import signal
import subprocess
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from executor.failpoints import POINTS
from tests.chaos.check import ENGINE, Harm
from tests.chaos.cluster import Cluster

PAUSES = 1.0, 4.0  # seconds between two acts
FREEZE = 5.0, 40.0  # of a worker; beyond its lease another takes its place
AWAY = 1.0, 8.0  # of Redis and of an engine
LATER = 0.0, 2.0  # than a script's start on the engine that is hurt
REACHED_SECONDS = 20.0  # within which a point is reached, and an engine has work


T = TypeVar("T")


class Deck(Generic[T]):
    """Drawn at random, each card once before any comes again: a short trial does something of everything."""

    def __init__(self, rng: random.Random, *cards: T) -> None:
        self._rng, self._cards = rng, cards
        self._left: list[T] = []

    def draw(self) -> T:
        if not self._left:
            self._left = self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()


class Nemesis:
    """`run` until `over`; then everything is up again. `points` are the crash points not reached so far.

    `harm` is what was hurt and when; `unasked` tells of processes that ended though nothing was done to them.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster, self.rng = cluster, random.Random(seed)
        self.did: Counter[str] = Counter()
        self.harm: list[Harm] = []
        self.unasked: list[str] = []
        self.slowest_end = 0.0  # of what was sent SIGTERM, in seconds
        self.over = threading.Event()
        self.ended_well = False
        self.points = list(POINTS)
        self.rng.shuffle(self.points)
        self._ended: set[subprocess.Popen[bytes]] = set()  # by us
        self._acts = Deck[Callable[[], None]](
            self.rng,
            *(self._kill, self._freeze, self._restart, self._crash_point, self._crash_point, self._crash_point),
            *(self._database, self._redis, self._engine),
        )
        self._to_engine = Deck(self.rng, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
        self._to_redis = Deck(self.rng, "cut", "frozen", "killed")

    def run(self) -> None:
        try:
            while not self.over.wait(self.rng.uniform(*PAUSES)):
                self._revive()
                self._acts.draw()()
            self._heal()
            self.ended_well = True
        except Exception:  # noqa: BLE001 - a nemesis that stumbled is a failed trial, said by ended_well
            traceback.print_exc()

    def look(self) -> None:
        """Note which processes have ended by themselves."""
        for part, process in self.cluster.parts.items():
            if process.poll() is not None and process not in self._ended:
                self._ended.add(process)
                self.unasked.append(f"{part} ended by itself with {process.returncode}")

    def _note(self, what: str) -> None:
        self.did[what] += 1
        print(f"{time.strftime('%H:%M:%S')} nemesis: {what}", flush=True)

    @contextmanager
    def _hurts(self, what: str) -> Iterator[None]:
        begin = time.time()
        try:
            yield
        finally:
            self.harm.append(Harm(what, begin, time.time()))

    def _part(self, *parts: str) -> str:
        return self.rng.choice(parts or ("web", "a", "b"))

    def _revive(self) -> None:
        self.look()
        for part, process in self.cluster.parts.items():
            if process.poll() is not None:
                self.cluster.start_part(part)

    def _end(self, part: str, number: signal.Signals) -> None:
        process = self.cluster.parts[part]
        self._ended.add(process)
        self.cluster.signal_part(part, number)
        process.wait(60)

    def _kill(self) -> None:
        part = self._part("web", "a", "b", "a", "b")
        self._note(f"SIGKILL {part}")
        with self._hurts(part):
            self._end(part, signal.SIGKILL)

    def _restart(self) -> None:
        part = self._part()
        self._note(f"SIGTERM {part}")
        began = time.monotonic()
        with self._hurts(part):
            self._end(part, signal.SIGTERM)
        self.slowest_end = max(self.slowest_end, time.monotonic() - began)

    def _freeze(self) -> None:
        part, seconds = self._part(), self.rng.uniform(*FREEZE)
        self._note(f"SIGSTOP {part}")
        with self._hurts(part):
            self.cluster.signal_part(part, signal.SIGSTOP)
            frozen = self.cluster.parts[part]
            if part != "web" and seconds > 15:
                self.cluster.start_part(part)  # a second one of the same name, which takes over
            self.over.wait(seconds)
            frozen.send_signal(signal.SIGCONT)
            if frozen is not self.cluster.parts[part]:
                self.over.wait(2)  # time for it to do its worst
                frozen.kill()
                frozen.wait()

    def _crash_point(self) -> None:
        """A worker that dies where it is told to; a point that its runs did not come to is tried again later."""
        if not self.points:
            return self._kill()
        point, part = self.points.pop(0), self._part("a", "b")
        with self._hurts(part):
            self._end(part, signal.SIGKILL)
            self.cluster.start_part(part, point)
            dies = self.cluster.parts[part]
            end = time.monotonic() + REACHED_SECONDS
            while dies.poll() is None and time.monotonic() < end and not self.over.wait(0.1):
                pass
            reached = dies.poll() is not None
            self._note(f"crash at {point}" if reached else "crash point not reached")
            if reached and dies.returncode == -signal.SIGKILL:
                self._ended.add(dies)
            if not reached:
                self.points.append(point)
                self._end(part, signal.SIGKILL)

    def _database(self) -> None:
        self._note("PostgreSQL connections")
        self.cluster.break_connections()

    def _redis(self) -> None:
        broker, how = self.cluster.broker, self._to_redis.draw()
        self._note(f"Redis {how}")
        if how == "cut":
            return broker.cut()
        broker.signal(signal.SIGSTOP) if how == "frozen" else broker.kill()
        self.over.wait(self.rng.uniform(*AWAY))
        broker.signal(signal.SIGCONT) if how == "frozen" else broker.start()
        return None

    def _engine(self) -> None:
        """While it has work, if it gets some in time."""
        number = self._to_engine.draw()
        end = time.monotonic() + REACHED_SECONDS
        while not self.cluster.runs_on_b() and time.monotonic() < end and not self.over.wait(0.2):
            pass
        self.over.wait(self.rng.uniform(*LATER))
        self._note(f"dockerd b {number.name}")
        with self._hurts(ENGINE):
            self.cluster.signal_engine(number)
            self.over.wait(self.rng.uniform(*AWAY))
            self.cluster.signal_engine(signal.SIGCONT)
            self.cluster.engine("start")

    def _heal(self) -> None:
        self.cluster.broker.start()
        self.cluster.engine("start")
        self._revive()
