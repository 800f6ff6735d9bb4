"""From the planned runs of a queue to its load in each hour. Pure: no database, no clock."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cron_rules.zones import DAY, Zone

HOUR = 3600
Span = tuple[int, int]  # from the first instant to before the second


@dataclass(frozen=True, slots=True)
class Hour:
    """A part of a local hour without a change of the clock. `day` and `hour` are those of the local clock."""

    day: int
    hour: int
    start: int
    end: int


@dataclass
class HourLoad:
    """`runs` start in the hour. `peak`: the most that run at once."""

    runs: float = 0
    minutes: float = 0
    peak: int = 0


@dataclass(frozen=True)
class Steady:
    """Runs that are too many to place one by one: `counts` by local day, spread evenly over the day."""

    counts: dict[int, int]
    seconds: float
    overlaps: bool


def list_hours(zone: Zone, first: int, days: int) -> list[Hour]:
    """The hours of the local days, by instant. An hour that comes twice is there twice."""
    hours = []
    for day in range(first, first + days):
        for segment in zone.list_segments(day, day):
            low = max(segment.start, day * DAY - segment.offset)
            high = min(segment.end, (day + 1) * DAY - segment.offset)
            while low < high:
                label = low + segment.offset
                end = min(high, low + HOUR - label % HOUR)
                hours.append(Hour(day, label % DAY // HOUR, low, end))
                low = end
    return sorted(hours, key=lambda hour: hour.start)


def place_runs(starts: Sequence[int], seconds: float, overlap: str) -> list[Span]:
    """The runs of one schedule, each of `seconds`, by its overlap policy."""
    length, placed = max(1, math.ceil(seconds)), list[Span]()
    if overlap == "allow":
        return [(start, start + length) for start in starts]
    for start in starts:
        busy_until = placed[-1][1] if placed else start
        if start >= busy_until:
            placed.append((start, start + length))
        elif overlap == "cancel_running":
            placed[-1] = (placed[-1][0], start)
            placed.append((start, start + length))
        elif overlap == "queue_all" or (overlap == "queue_one" and placed[-1][0] <= start):
            placed.append((busy_until, busy_until + length))
    return [span for span in placed if span[0] < span[1]]


def sum_hours(spans: Iterable[Span], steady: Iterable[Steady], hours: Sequence[Hour], now: int) -> list[HourLoad]:
    """The load of each hour from the instant `now` on. Runs reach into the hours after their start."""
    loads, spans = [HourLoad() for _ in hours], sorted(spans)
    starts = [hour.start for hour in hours]
    for start, end in spans:
        for index in _iterate_indices(starts, hours, start, end):
            hour = hours[index]
            loads[index].minutes += (min(end, hour.end) - max(start, hour.start)) / 60
            loads[index].runs += hour.start <= start < hour.end
    _add_peaks(loads, spans, hours)
    for each in steady:
        _add_steady(loads, each, hours, now)
    return loads


def _iterate_indices(starts: list[int], hours: Sequence[Hour], start: int, end: int) -> Iterator[int]:
    index = max(0, bisect_right(starts, start) - 1)
    while index < len(hours) and hours[index].start < end:
        if start < hours[index].end:
            yield index
        index += 1


def _add_peaks(loads: list[HourLoad], spans: list[Span], hours: Sequence[Hour]) -> None:
    # At one instant runs end before others start.
    changes = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    running, position = 0, 0
    for load, hour in zip(loads, hours, strict=True):
        while position < len(changes) and changes[position][0] <= hour.start:
            running += changes[position][1]
            position += 1
        load.peak = running
        while position < len(changes) and changes[position][0] < hour.end:
            running += changes[position][1]
            position += 1
            load.peak = max(load.peak, running)


def _add_steady(loads: list[HourLoad], steady: Steady, hours: Sequence[Hour], now: int) -> None:
    lengths = Counter[int]()
    for hour in hours:
        lengths[hour.day] += max(0, hour.end - max(hour.start, now))
    for load, hour in zip(loads, hours, strict=True):
        length = hour.end - max(hour.start, now)
        if length <= 0:
            continue
        runs = steady.counts.get(hour.day, 0) * length / lengths[hour.day]
        busy = runs * steady.seconds
        load.runs += runs
        load.minutes += (busy if steady.overlaps else min(busy, length)) / 60
        if runs:
            load.peak += math.ceil(busy / length) if steady.overlaps else 1
