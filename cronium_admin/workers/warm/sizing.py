"""Pure: how many sandboxes of which shape a host keeps ready. Times are seconds of one monotonic clock.

If runs of a shape arrive at a rate L and a sandbox that was taken is replaced after r seconds, then with c places the
share of runs that find none waiting is Erlang's B(L * r, c). The number of places is the smallest c with a share of at
most MISS_SHARE.
"""

import math
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

MISS_SHARE = 0.02
MAX_PLACES = 100
AUTO_LIMIT = 4
SLOW_SECONDS, FAST_SECONDS = 600.0, 60.0  # the two periods of the arrival rate
SECOND_WITHIN_SECONDS = 600.0  # a second launch within this time gives a shape its first place
KEEP_SECONDS = 3600.0  # after the last launch, the shape loses its places
BURST_SECONDS = 600.0  # each launch that found none waiting adds a place for this time
AHEAD_SECONDS = 3.0  # expected launches are prepared this long before they are due

K = TypeVar("K", bound=Hashable)


def compute_miss_share(load: float, places: int) -> float:
    """Erlang's B: the share of arrivals that find all places empty. `load` is arrivals per refill time."""
    share = 1.0
    for place in range(1, places + 1):
        share = load * share / (place + load * share)
    return share


def compute_places(load: float, miss_share: float = MISS_SHARE) -> int:
    """The smallest number of places with at most this share of misses; 0 without load."""
    if load <= 0:
        return 0
    share = 1.0
    for place in range(1, MAX_PLACES + 1):
        share = load * share / (place + load * share)
        if share <= miss_share:
            return place
    return MAX_PLACES


@dataclass
class DecayedCount:
    """Counts events; the weight of an event falls to 1/e within `seconds`."""

    seconds: float
    _count: float = 0.0
    _at: float = -math.inf

    def add(self, at: float) -> None:
        if at < self._at:  # an older event, noted later
            self._count += math.exp((at - self._at) / self.seconds)
            return
        self._count, self._at = self._compute_count(at) + 1.0, at

    def compute_rate(self, now: float) -> float:
        """Events per second."""
        return self._compute_count(now) / self.seconds

    def _compute_count(self, now: float) -> float:
        return self._count * math.exp(-max(0.0, now - self._at) / self.seconds) if self._count else 0.0


@dataclass
class Demand:
    """The launches of one shape."""

    last_at: float = -math.inf
    _has_places: bool = False
    _slow: DecayedCount = field(default_factory=lambda: DecayedCount(SLOW_SECONDS))
    _fast: DecayedCount = field(default_factory=lambda: DecayedCount(FAST_SECONDS))
    _misses: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_PLACES))
    _expected: list[float] = field(default_factory=list)

    def note_launch(self, at: float, *, is_miss: bool = False) -> None:
        """`is_miss`: it found no sandbox waiting."""
        had_places = self.has_places(at)
        self._has_places = had_places or abs(at - self.last_at) <= SECOND_WITHIN_SECONDS
        self.last_at = max(self.last_at, at)
        self._slow.add(at)
        self._fast.add(at)
        if is_miss and had_places:
            self._misses.append(at)

    def expect(self, at: float) -> None:
        """A launch is due at this time."""
        if len(self._expected) < MAX_PLACES:
            self._expected.append(at)

    def has_places(self, now: float) -> bool:
        return self._has_places and now - self.last_at <= KEEP_SECONDS

    def is_over(self, now: float) -> bool:
        """Nothing of it counts any more."""
        return now - self.last_at > KEEP_SECONDS and not self._count_expected(now, math.inf)

    def compute_rate(self, now: float) -> float:
        """Launches per second: the larger of the two averages, so that a burst counts at once and fades slowly."""
        return max(self._slow.compute_rate(now), self._fast.compute_rate(now))

    def compute_target(self, now: float, refill_seconds: float, *, is_default: bool = False) -> int:
        """The places that it wants. `is_default`: it has a place without two launches."""
        expected = self._count_expected(now, AHEAD_SECONDS)
        if not (is_default or self.has_places(now)):
            return min(expected, MAX_PLACES)
        places = max(1, compute_places(self.compute_rate(now) * refill_seconds))
        misses = sum(now - at <= BURST_SECONDS for at in self._misses)
        return min(max(places + min(misses, places), expected), MAX_PLACES)

    def _count_expected(self, now: float, ahead: float) -> int:
        self._expected = [at for at in self._expected if at >= now - AHEAD_SECONDS]
        return sum(at <= now + ahead for at in self._expected)


@dataclass(frozen=True)
class Wanted:
    """What one shape asks for. `rate`: launches per second."""

    places: int
    rate: float


def allocate_places(wanted: Mapping[K, Wanted], limit: int, refill_seconds: float) -> dict[K, int]:
    """Gives each place to the shape that it saves the most misses, until all have theirs or `limit` is reached."""
    given = dict.fromkeys(wanted, 0)
    for _ in range(max(0, limit)):
        open_keys = [key for key, asked in wanted.items() if given[key] < asked.places]
        if not open_keys:
            break
        best = max(open_keys, key=lambda key: _compute_gain(wanted[key], given[key], refill_seconds))
        given[best] += 1
    return given


def _compute_gain(wanted: Wanted, places: int, refill_seconds: float) -> tuple[float, int]:
    load = wanted.rate * refill_seconds
    saved = wanted.rate * (compute_miss_share(load, places) - compute_miss_share(load, places + 1))
    return saved, -places  # without launches: first one each


def plan_places(
    wanted: Mapping[K, Wanted], stems: Mapping[K, K], limit: int, refill_seconds: float
) -> tuple[dict[K, Wanted], dict[K, int]]:
    """What each shape and stem asks for, and what each gets. `stems`: the stem that fits a shape, for those with one.

    First one stem for each in use, up to half of the limit, because it serves any launch; then whole sandboxes; what is
    left goes to stems, for the launches that find no whole one.
    """
    rates: dict[K, float] = {}
    for shape, stem in stems.items():
        rates[stem] = rates.get(stem, 0.0) + wanted[shape].rate
    first = min(len(rates), limit // 2)
    whole = {shape: asked for shape, asked in wanted.items() if asked.places}
    given = allocate_places(whole, limit - first, refill_seconds)
    rest = dict.fromkeys(rates, 0.0)  # launches per second that find no whole one
    for shape, stem in stems.items():
        rate = wanted[shape].rate
        rest[stem] += rate * compute_miss_share(rate * refill_seconds, given.get(shape, 0))
    for_stems = {stem: Wanted(max(1, compute_places(rate * refill_seconds)), rate) for stem, rate in rest.items()}
    if limit > 1:
        given |= allocate_places(for_stems, limit - sum(given.values()), refill_seconds)
    return whole | (for_stems if limit > 1 else {}), given


def compute_limit(configured: int | None, memory_bytes: int | None, sandbox_bytes: int) -> int:
    """The most sandboxes of a host. `configured` None: at most AUTO_LIMIT in 1 % of the memory, at least 1."""
    if configured is not None:
        return configured
    return AUTO_LIMIT if memory_bytes is None else max(1, min(AUTO_LIMIT, memory_bytes // 100 // sandbox_bytes))
