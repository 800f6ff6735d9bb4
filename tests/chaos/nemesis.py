"""Does harm at random moments, and notes what it did. The same seed does the same in the same order."""

import random
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable

from executor.crash import POINTS
from tests.chaos.cluster import Cluster

PAUSES = 2.0, 6.0  # seconds between two acts


class Nemesis:
    """`run` until `over`; then everything is up again."""

    def __init__(self, cluster: Cluster, seed: int, freeze: tuple[float, float] = (5.0, 40.0)) -> None:
        self.cluster, self.rng, self.freeze = cluster, random.Random(seed), freeze
        self.did: Counter[str] = Counter()
        self.over = threading.Event()
        self.ended_well = False
        self._points = list(POINTS)
        self.rng.shuffle(self._points)
        self._acts: list[Callable[[], None]] = [
            *(self._kill, self._kill, self._freeze, self._restart, self._crash_point, self._crash_point),
            *(self._database, self._redis, self._engine),
        ]

    def run(self) -> None:
        try:
            while not self.over.wait(self.rng.uniform(*PAUSES)):
                self._revive()
                self.rng.choice(self._acts)()
            self._heal()
            self.ended_well = True
        except Exception:  # noqa: BLE001 - a nemesis that stumbled is a failed trial, said by ended_well
            traceback.print_exc()

    def _note(self, what: str) -> None:
        self.did[what] += 1
        print(f"{time.strftime('%H:%M:%S')} nemesis: {what}", flush=True)

    def _part(self, *parts: str) -> str:
        return self.rng.choice(parts or ("web", "a", "b"))

    def _revive(self) -> None:
        for part, process in self.cluster.parts.items():
            if process.poll() is not None:
                self.cluster.start_part(part)

    def _kill(self) -> None:
        part = self._part("web", "a", "b", "a", "b")
        self._note(f"SIGKILL {part}")
        self.cluster.signal_part(part, signal.SIGKILL)
        self.cluster.parts[part].wait()

    def _restart(self) -> None:
        part = self._part()
        self._note(f"SIGTERM {part}")
        self.cluster.signal_part(part, signal.SIGTERM)
        self.cluster.parts[part].wait(60)

    def _freeze(self) -> None:
        part, seconds = self._part(), self.rng.uniform(*self.freeze)
        self._note(f"SIGSTOP {part}")
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
        if not self._points:
            return
        point, part = self._points.pop(), self._part("a", "b")
        self.cluster.signal_part(part, signal.SIGKILL)
        self.cluster.parts[part].wait()
        self.cluster.start_part(part, point)
        end = time.monotonic() + 25
        while self.cluster.parts[part].poll() is None and time.monotonic() < end and not self.over.wait(0.2):
            pass
        reached = self.cluster.parts[part].poll() is not None
        self._note(f"crash at {point}" if reached else "crash point not reached")
        if not reached:
            self.cluster.signal_part(part, signal.SIGKILL)
            self.cluster.parts[part].wait()

    def _database(self) -> None:
        self._note("PostgreSQL connections")
        self.cluster.break_connections()

    def _redis(self) -> None:
        self._note("Redis emptied and cut")
        self.cluster.break_redis()

    def _engine(self) -> None:
        number = self.rng.choice((signal.SIGKILL, signal.SIGTERM))
        self._note(f"dockerd b {number.name}")
        self.cluster.kill_engine(number)
        self.over.wait(self.rng.uniform(1, 5))
        self.cluster.engine("start")

    def _heal(self) -> None:
        self.cluster.engine("start")
        self._revive()
