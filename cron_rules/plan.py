"""The times of a rule after its calendar and its blackout windows: preview, words, history and firing use them alike.

A time of a closed day either does not run, or moves to the same local time on the next open day. Times that fall on one
instant then are one run, that of the latest. A time inside a blackout window, after the move, does not run.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from cron_rules.blackout import Window
from cron_rules.closed_days import ClosedDays
from cron_rules.errors import RuleError
from cron_rules.evaluate import find_next, iterate_after
from cron_rules.rules import ClockRule, IntervalRule, Rule, StartRule
from cron_rules.zones import DAY, Zone

MAX_CLOSED_DAYS = 100  # without an open day in as many days, a time does not move
MAX_MOVED_PER_DAY = 24
# Passed in search of a time that runs: closed spans, and times of a rule that moves.
MAX_SPANS, MAX_PASSED = 1000, 1000


@dataclass(frozen=True)
class Closures:
    """`moves`: times of closed days move to the next open day."""

    zone: Zone
    windows: tuple[Window, ...] = ()
    days: ClosedDays | None = None
    moves: bool = False
    _open_days: dict[int, int | None] = field(default_factory=dict, compare=False, repr=False)

    def find_window(self, instant: int) -> tuple[str, int] | None:
        """The name of the blackout window around the instant, and a time up to which it certainly lasts."""
        label = instant + self.zone.get_offset(instant)
        for window in self.windows:
            end = window.find_end(instant, label)
            if end is not None:
                changes = self.zone.list_between(instant, end)
                return window.name, changes[0].at if changes else end
        return None

    def find_closed_day(self, instant: int) -> tuple[str, int] | None:
        """Why the day of the instant is closed, and the end of the day."""
        if self.days is None:
            return None
        day = self.zone.get_day(instant)
        reason = self.days.find_reason(day)
        if reason is None:
            return None
        return reason, max(instant + 1, self._find_instant((day + 1) * DAY))

    def find_move(self, instant: int) -> tuple[int, str] | None:
        """The same local time on the next open day, and why; None if there is none, or the day is open."""
        assert self.days is not None
        label = instant + self.zone.get_offset(instant)
        day = label // DAY
        reason = self.days.find_reason(day)
        if reason is None:
            return None
        if day not in self._open_days:
            following = range(day + 1, day + MAX_CLOSED_DAYS + 1)
            self._open_days[day] = next((later for later in following if self.days.find_name(later) is None), None)
        later = self._open_days[day]
        return None if later is None else (self._find_instant(later * DAY + label % DAY), reason)

    def _find_instant(self, label: int) -> int:
        """Of a label that comes twice, the first pass; of one that doesn't exist, the end of the gap."""
        for part in self.zone.list_segments(label // DAY, label // DAY):
            if part.start <= label - part.offset < part.end:
                return label - part.offset
        gap = self.zone.find_gap(label)
        return gap.at if gap else label - self.zone.get_offset(label)

    def find_first_moved(self, instant: int) -> int:
        """An instant before all times that move to `instant` or later from a day before it."""
        assert self.days is not None
        first = self.zone.get_day(instant)
        while first > 0 and self.zone.get_day(instant) - first < MAX_CLOSED_DAYS and self.days.find_reason(first - 1):
            first -= 1
        return (first - 1) * DAY


@dataclass(frozen=True, slots=True)
class MovedTime:
    """A time of a closed day that became a part of another run."""

    nominal: int
    reason: str


@dataclass(frozen=True, slots=True)
class PlannedTime:
    """The run of `nominal` starts at `at`. `closed`: why it doesn't run. `moved`: why it moves. `merged` are earlier
    times that this one stands for."""

    at: int
    nominal: int
    closed: str = ""
    moved: str = ""
    merged: tuple[MovedTime, ...] = ()

    @property
    def runs(self) -> bool:
        return not self.closed


@dataclass(frozen=True)
class Plan:
    """Nominal times up to `after`, and those later than `until`, don't count."""

    rule: Rule
    closures: Closures | None = None
    after: int | None = None
    until: int | None = None

    def iterate_nominal(self, after: int) -> Iterator[int]:
        """The times of the rule alone, later than `after`."""
        for nominal in iterate_after(self.rule, after if self.after is None else max(after, self.after)):
            if self.until is not None and nominal > self.until:
                return
            yield nominal

    def iterate(self, after: int) -> Iterator[PlannedTime]:
        """Those with `at` later than `after`, ascending; `at` is strictly increasing."""
        closures = self.closures
        if closures is None:
            return (PlannedTime(nominal, nominal) for nominal in self.iterate_nominal(after))
        if closures.days is None or not closures.moves:
            return (self._close(PlannedTime(nominal, nominal)) for nominal in self.iterate_nominal(after))
        return self._iterate_moved(after)

    def _close(self, time: PlannedTime) -> PlannedTime:
        closures = self.closures
        assert closures is not None
        if (not closures.moves or not time.moved) and (found := closures.find_closed_day(time.at)):
            return replace(time, closed=found[0])
        if found := closures.find_window(time.at):
            return replace(time, closed=f"blackout {found[0]}")
        return time

    def _iterate_moved(self, after: int) -> Iterator[PlannedTime]:
        closures = self.closures
        assert closures is not None
        waiting: list[tuple[int, int, str]] = []
        for nominal in self.iterate_nominal(closures.find_first_moved(after)):
            while waiting and waiting[0][0] < nominal:
                yield from self._join(waiting, after)
            move = closures.find_move(nominal)
            heapq.heappush(waiting, (move[0], nominal, move[1]) if move else (nominal, nominal, ""))
        while waiting:
            yield from self._join(waiting, after)

    def _join(self, waiting: list[tuple[int, int, str]], after: int) -> Iterator[PlannedTime]:
        """Takes the times of the first instant."""
        at, parts = waiting[0][0], []
        while waiting and waiting[0][0] == at:
            parts.append(heapq.heappop(waiting))
        if at <= after:
            return
        _, nominal, reason = parts[-1]
        merged = tuple(MovedTime(earlier, why) for _, earlier, why in parts[:-1])
        yield self._close(PlannedTime(at, nominal, "", reason, merged))

    def find_next(self, after: int) -> PlannedTime | None:
        return next(self.iterate(after), None)

    def find_next_run(self, after: int) -> PlannedTime | None:
        """The first later time that runs. None: there is none, or only times behind MAX_SPANS closed spans."""
        if self.closures is None or self.closures.moves:
            return next((time for time in islice(self.iterate(after), MAX_PASSED) if time.runs), None)
        for _ in range(MAX_SPANS):
            time = self.find_next(after)
            if time is None or time.runs:
                return time
            after = max(time.at, self._find_closed_until(time.at) - 1)
        return None

    def _find_closed_until(self, instant: int) -> int:
        closures = self.closures
        assert closures is not None
        found = closures.find_closed_day(instant) or closures.find_window(instant)
        return found[1] if found else instant


def check_can_move(rule: Rule) -> None:
    """Raises RuleError for a rule whose times are too many to move to another day."""
    if isinstance(rule, StartRule):
        raise RuleError("on_closed", "A start of the installation can't move. Choose to skip those of closed days.")
    is_often = isinstance(rule, ClockRule) and len(rule.times) > MAX_MOVED_PER_DAY
    is_often = is_often or (isinstance(rule, IntervalRule) and rule.seconds < DAY // MAX_MOVED_PER_DAY)
    if is_often:
        text = f"Only rules with up to {MAX_MOVED_PER_DAY} times a day can move to the next working day."
        raise RuleError("on_closed", f"{text} Choose to skip the times of closed days.")


def list_plan_warnings(plan: Plan, after: int) -> list[str]:
    """Sentences."""
    if plan.closures is None or find_next(plan.rule, after) is None:
        return []
    if plan.find_next_run(after) is not None:
        return []
    shown = list(islice(plan.iterate(after), 1))
    reason = f" The first: {shown[0].closed}." if shown else ""
    return [f"It never runs: the calendar or the blackout windows cover all of its times.{reason}"] if shown else []
