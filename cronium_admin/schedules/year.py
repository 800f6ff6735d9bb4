"""A year ahead: how often a plan runs on each day, as months for the pages and as a list for the API."""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby

from cron_rules.day_counts import DayCount, count_days
from cron_rules.evaluate import list_noted
from cron_rules.month_days import EPOCH
from cron_rules.plan import Plan
from cron_rules.rules import ClockRule
from cron_rules.zones import DAY, Transition, load_zone
from cronium_admin.schedules.notes import describe_note

DAYS = 366
MAX_DAYS = 400
FEW = 24  # runs of a day
MAX_DESCRIBED = 300  # times of a day, for notes about a change of the clock


@dataclass(frozen=True)
class YearDay:
    """`level` is none, one, few or many. `note` is empty, or says why the day differs from others."""

    date: date
    count: int
    closed: int
    note: str
    clock_changes: bool
    is_closed: bool

    @property
    def level(self) -> str:
        if self.count > FEW:
            return "many"
        return ("none", "one")[self.count] if self.count < 2 else "few"

    @property
    def text(self) -> str:
        runs = f"{self.count:,} run{'' if self.count == 1 else 's'}" if self.count else "no run"
        return f"{self.date:%a} {self.date.day} {self.date:%B %Y}: {runs}" + (f"; {self.note}" if self.note else "")


@dataclass(frozen=True)
class YearMonth:
    """`weeks` begin on Monday; None: a day of another month, or outside the year ahead."""

    name: str
    weeks: list[list[YearDay | None]]


@dataclass(frozen=True)
class Year:
    months: list[YearMonth]
    marked: list[YearDay]
    total: int


def list_days(plan: Plan, zone: str, after: int, days: int = DAYS) -> list[YearDay]:
    """From the local day of the instant `after` on. Times up to `after` do not count."""
    return [_describe_day(plan, zone, count) for count in count_days(plan, load_zone(zone), after, days)]


def build_year(plan: Plan, zone: str, after: int) -> Year:
    days = list_days(plan, zone, after)
    by_month = groupby(days, key=lambda day: (day.date.year, day.date.month))
    months = [_build_month(year, month, {day.date: day for day in found}) for (year, month), found in by_month]
    return Year(months, [day for day in days if day.note], sum(day.count for day in days))


def _build_month(year: int, month: int, days: dict[date, YearDay]) -> YearMonth:
    weeks = calendar.Calendar().monthdatescalendar(year, month)
    return YearMonth(f"{calendar.month_name[month]} {year}", [[days.get(day) for day in week] for week in weeks])


def _describe_day(plan: Plan, zone: str, count: DayCount) -> YearDay:
    notes = list(_list_notes(plan, zone, count))
    found = date.fromordinal(count.day + EPOCH)
    return YearDay(found, count.count, count.closed, "; ".join(notes), count.change is not None, bool(count.reasons))


def _list_notes(plan: Plan, zone: str, count: DayCount) -> Iterator[str]:
    if count.change is not None:
        yield _describe_change(count.change)
        yield from _list_moved(plan, zone, count.day, count.change)
    if count.closed:
        times = "1 time does" if count.closed == 1 else f"{count.closed:,} times do"
        yield f"{times} not run: {', '.join(count.reasons)}"
    else:
        yield from count.reasons


def _describe_change(change: Transition) -> str:
    seconds = change.after - change.before
    hours, minutes = divmod(abs(seconds) // 60, 60)
    size = " ".join(filter(None, [f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""])) or "seconds"
    label = datetime.fromtimestamp(change.at + change.before, UTC)
    return f"the clock goes {'forward' if seconds > 0 else 'back'} by {size} at {label:%H:%M}"


def _list_moved(plan: Plan, zone: str, day: int, change: Transition) -> Iterator[str]:
    """The times that the change moves, joins or doubles. Of a frequent rule the count says enough."""
    rule = plan.rule
    if not isinstance(rule, ClockRule) or not rule.is_fixed or len(rule.times) > MAX_DESCRIBED:
        return
    for found in list_noted(rule, change.at - DAY, change.at + DAY):
        if load_zone(zone).get_day(found.at) == day:
            yield describe_note(found)
