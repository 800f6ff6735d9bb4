"""How often a plan runs on each local day. Times are counted, not listed, except beside a change of the clock."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile

from cron_rules.blackout import WEEK, WeeklyWindow
from cron_rules.evaluate import list_times
from cron_rules.plan import Plan, PlannedTime
from cron_rules.rules import ClockRule, IntervalRule, OnceRule
from cron_rules.zones import DAY, LAST_YEAR, Transition, Zone

MAX_MOVED = 20_000  # times of a rule that moves; a year has at most 24 a day
_LAST_DAY = (LAST_YEAR - 1970) * 365
_MONDAY = 4 * DAY  # the label 1970-01-05T00:00 is a Monday


@dataclass
class DayCount:
    """`count`: times that run. `closed`: times that don't, for the `reasons`. `change`: of the clock, on this day."""

    day: int
    count: int = 0
    closed: int = 0
    reasons: list[str] = field(default_factory=list)
    change: Transition | None = None

    def add_reason(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


@dataclass(frozen=True, slots=True)
class _Part:
    """The instants from `start` to before `end` have one offset. `is_near_change`: the clock changes within them."""

    start: int
    end: int
    offset: int
    is_near_change: bool = False


def count_days(plan: Plan, zone: Zone, after: int, days: int) -> list[DayCount]:
    """The local days from that of the instant `after` on. Times up to `after` do not count.

    The cost does not grow with the times of a day. A rule whose times move to another day has few; they are listed.
    Only the years 1970 to 9989 have days.
    """
    first = zone.get_day(min(max(after, 0), _LAST_DAY * DAY))
    days = max(0, min(days, _LAST_DAY - first))
    counts = [DayCount(day) for day in range(first, first + days)]
    for change in zone.list_between((first - 2) * DAY, (first + days + 2) * DAY):
        day = (change.at + change.after) // DAY
        if 0 <= day - first < days:
            counts[day - first].change = change
    if plan.closures is not None and plan.closures.days is not None:
        for count in counts:
            if reason := plan.closures.days.find_reason(count.day):
                count.add_reason(reason)
        if plan.closures.moves and counts:
            _count_moved(plan, zone, after, counts)
            return counts
    counter = _DayCounter(plan, zone, after, first, first + days)
    for count in counts:
        counter.count_day(count)
    return counts


def _count_moved(plan: Plan, zone: Zone, after: int, counts: list[DayCount]) -> None:
    first, last = counts[0].day, counts[-1].day

    def is_shown(time: PlannedTime) -> bool:
        return zone.get_day(time.at) <= last

    for time in takewhile(is_shown, islice(plan.iterate(after), MAX_MOVED)):
        count = counts[zone.get_day(time.at) - first]
        if time.runs:
            count.count += 1
        else:
            count.closed += 1
            count.add_reason(time.closed)


class _DayCounter:
    """Counts the times of a plan whose times do not move."""

    def __init__(self, plan: Plan, zone: Zone, after: int, first: int, end: int) -> None:
        self.rule, self.zone, self.closures = plan.rule, zone, plan.closures
        self.start = (after if plan.after is None else max(after, plan.after)) + 1
        self.end = None if plan.until is None else plan.until + 1
        self.days: frozenset[int] = frozenset()
        self.changes: list[Transition] = []
        if isinstance(self.rule, ClockRule):
            self.days = frozenset(takewhile(lambda day: day < end, self.rule.days.iterate(first)))
            # The rule's own zone: a change there gives its times notes.
            self.changes = self.rule.zone.list_between((first - 2) * DAY, (end + 2) * DAY)
        self.weekly: dict[int, list[tuple[int, int, str]]] = {}

    def count_day(self, count: DayCount) -> None:
        for part in self._list_parts(count.day):
            listed = list_times(self.rule, part.start, part.end) if part.is_near_change else None
            total = self._count_between(part, part.start, part.end, count.day, listed)
            if not total or self.closures is None:
                count.count += total
            elif count.reasons and self.closures.days is not None:
                count.closed += total
            else:
                closed = self._count_closed(part, count, listed)
                count.count += total - closed
                count.closed += closed

    def _list_parts(self, day: int) -> Iterator[_Part]:
        """The instants of a local day that count. Only beside a change of the clock a label is not its own instant."""
        for segment in self.zone.list_segments(day, day):
            low = max(segment.start, day * DAY - segment.offset, self.start)
            high = min(segment.end, (day + 1) * DAY - segment.offset)
            if self.end is not None:
                high = min(high, self.end)
            for change in self.changes:
                size = abs(change.after - change.before)
                near_start, near_end = max(low, change.at - size), min(high, change.at + size)
                if near_start < near_end:
                    if low < near_start:
                        yield _Part(low, near_start, segment.offset)
                    yield _Part(near_start, near_end, segment.offset, True)
                    low = near_end
            if low < high:
                yield _Part(low, high, segment.offset)

    def _count_between(self, part: _Part, start: int, end: int, day: int, listed: list[int] | None) -> int:
        """The times of the rule from `start` to before `end`, which are in the part."""
        rule = self.rule
        if listed is not None:
            return bisect_left(listed, end) - bisect_left(listed, start)
        if isinstance(rule, ClockRule):
            if day not in self.days:
                return 0
            base = part.offset - day * DAY
            return bisect_left(rule.times, end + base) - bisect_left(rule.times, start + base)
        if isinstance(rule, IntervalRule):
            return _count_steps(end - rule.anchor, rule.seconds) - _count_steps(start - rule.anchor, rule.seconds)
        return int(isinstance(rule, OnceRule) and start <= rule.at < end)

    def _count_closed(self, part: _Part, count: DayCount, listed: list[int] | None) -> int:
        """The times of the part inside blackout windows. Adds the windows to the day's reasons."""
        closed, done = 0, part.start
        for start, end, name in sorted(self._list_closed(part, count.day)):
            if self._count_between(part, max(start, part.start), min(end, part.end), count.day, listed):
                count.add_reason(f"blackout {name}")
            start, end = max(start, done), min(end, part.end)
            if start < end:
                closed += self._count_between(part, start, end, count.day, listed)
                done = end
        return closed

    def _list_closed(self, part: _Part, day: int) -> Iterator[tuple[int, int, str]]:
        """The blackout windows that overlap the part, as instants."""
        assert self.closures is not None
        base = day * DAY - part.offset
        for low, high, name in self._list_weekly(day):
            if base + low < part.end and part.start < base + high:
                yield base + low, base + high, name
        for window in self.closures.windows:
            if not isinstance(window, WeeklyWindow) and window.start < part.end and part.start < window.end:
                yield window.start, window.end, window.name

    def _list_weekly(self, day: int) -> list[tuple[int, int, str]]:
        """The weekly windows of the day, in seconds from its local midnight."""
        assert self.closures is not None
        begin = (day * DAY - _MONDAY) % WEEK
        if begin not in self.weekly:
            self.weekly[begin] = [
                (max(low - begin, 0), min(high - begin, DAY), window.name)
                for window in self.closures.windows
                if isinstance(window, WeeklyWindow)
                for low, high in window.spans
                if low < begin + DAY and begin < high
            ]
        return self.weekly[begin]


def _count_steps(span: int, seconds: int) -> int:
    """How many of the times 0, `seconds`, 2 x `seconds`, ... are earlier than `span`."""
    return max(0, -(-span // seconds))
