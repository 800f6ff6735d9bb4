"""When a waiting sandbox may be built: not while the machine is busy, and not again and again if it fails.

Used by one thread. Times are seconds of `time.monotonic`.
"""

from collections import deque
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

PERIOD_SECONDS = 60.0
MAX_CPU_SHARE = 0.25  # of the host's CPU over a period, for builds
MAX_CPU_PERCENT = 80.0  # of the machine; above it one build in SLOW_SECONDS, so that a busy host has some, too
SLOW_SECONDS = 10.0
CPUS_OF_A_BUILD = 2.0  # sidecar and main start side by side
MAX_FAILURES = 3
RETRY_SECONDS = 5.0
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 60.0, 1800.0
K = TypeVar("K", bound=Hashable)


class BuildBudget:
    """The CPU time that builds have used within the last period."""

    def __init__(self) -> None:
        self._builds: deque[tuple[float, float]] = deque()  # end, duration; also of failed ones
        self.average_seconds = 0.7  # of a build, moving

    def note_build(self, end: float, duration: float, *, is_done: bool = True) -> None:
        self._builds.append((end, duration))
        if is_done:
            self.average_seconds += 0.3 * (duration - self.average_seconds)

    def is_rested(self, now: float) -> bool:
        """The last build ended so long ago that one may be built although the machine is busy."""
        return not self._builds or now - self._builds[-1][0] >= SLOW_SECONDS

    def has_room(self, now: float, cpus: float | None) -> bool:
        while self._builds and now - self._builds[0][0] > PERIOD_SECONDS:
            self._builds.popleft()
        host_cpus = cpus or 1.0
        used = sum(duration for _, duration in self._builds) * min(CPUS_OF_A_BUILD, host_cpus)
        return used < MAX_CPU_SHARE * host_cpus * PERIOD_SECONDS


@dataclass
class _Failure:
    number: int
    until: float
    message: str


class Failures(Generic[K]):
    """Shapes whose last builds failed. After MAX_FAILURES in a row: a pause of 1, 2, 4 ... 30 minutes."""

    def __init__(self) -> None:
        self._failures: dict[K, _Failure] = {}

    def note_failure(self, key: K, now: float, message: str) -> None:
        number = self._failures[key].number + 1 if key in self._failures else 1
        pause = RETRY_SECONDS
        if number >= MAX_FAILURES:
            pause = min(MAX_PAUSE_SECONDS, PAUSE_SECONDS * 2.0 ** min(number - MAX_FAILURES, 10))
        self._failures[key] = _Failure(number, now + pause, message)

    def note_success(self, key: K) -> None:
        self._failures.pop(key, None)

    def list_paused(self, now: float) -> frozenset[K]:
        return frozenset(key for key, failure in self._failures.items() if now < failure.until)

    def count(self, key: K) -> int:
        """Failed builds in a row."""
        return self._failures[key].number if key in self._failures else 0

    def describe(self, key: K) -> str:
        """The last error of a shape that failed MAX_FAILURES times in a row; empty otherwise."""
        failure = self._failures.get(key)
        return failure.message if failure and failure.number >= MAX_FAILURES else ""

    def forget_except(self, keys: Collection[K]) -> None:
        for key in [key for key in self._failures if key not in keys]:
            del self._failures[key]
