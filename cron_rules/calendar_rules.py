"""Calendar rules: every n days, weeks or months, at times of day, counted from an anchor date.

every 2 weeks on mon,thu at 09:00
every 10 days at 06:00, 18:00
every 3 months on day 15 at 09:00
every month on last day at 23:30
"""

import calendar
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from cron_rules.errors import RuleError
from cron_rules.month_days import CYCLE_YEARS, EPOCH
from cron_rules.rules import ClockRule
from cron_rules.zones import LAST_YEAR, Zone

Unit = Literal["day", "week", "month"]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FULL_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LAST_DAY = 0
_MAX_COUNT, _MAX_TIMES = 1000, 24
_MONDAY = 4  # 1970-01-05 is a Monday
_FORM = re.compile(
    r"every(?: ([0-9]{1,4}))? (day|week|month)s?(?: on (?:(last) day|day ([0-9]{1,2})|([a-z, ]+?)))? at ([0-9:, ]+)"
)
EXAMPLE = "every 2 weeks on mon at 09:00"


@dataclass(frozen=True)
class CalendarDays:
    """Every `count` units from the day `anchor`, and none before it. `weekdays` count from Monday, 0.

    `month_day` is a day of the month or LAST_DAY; months without it have no run.
    """

    count: int
    unit: Unit
    anchor: int
    weekdays: tuple[int, ...] = ()
    month_day: int = 1

    def iterate(self, first: int) -> Iterator[int]:
        first = max(first, self.anchor)
        last = min(first + int(CYCLE_YEARS * 365.25), date(LAST_YEAR, 12, 31).toordinal() - EPOCH)
        for period in range(self._find_period(first), self._find_period(last) + 1):
            yield from (day for day in self._list_days(period) if first <= day <= last)

    def iterate_back(self, last: int) -> Iterator[int]:
        lowest = max(self.anchor, 0)
        if last < lowest:
            return
        for period in range(self._find_period(last), self._find_period(lowest) - 1, -1):
            yield from (day for day in reversed(self._list_days(period)) if lowest <= day <= last)

    def _find_period(self, day: int) -> int:
        """The number of the period, from that of the anchor, 0, in which the day is."""
        if self.unit == "day":
            return (day - self.anchor) // self.count
        if self.unit == "week":
            return (_find_week(day) - _find_week(self.anchor)) // self.count
        return (_find_month(day) - _find_month(self.anchor)) // self.count

    def _list_days(self, period: int) -> list[int]:
        if self.unit == "day":
            return [self.anchor + period * self.count]
        if self.unit == "week":
            monday = (_find_week(self.anchor) + period * self.count) * 7 + _MONDAY
            return [monday + weekday for weekday in self.weekdays]
        year, month = divmod(_find_month(self.anchor) + period * self.count, 12)
        length = calendar.monthrange(year, month + 1)[1]
        day = self.month_day or length
        return [date(year, month + 1, day).toordinal() - EPOCH] if day <= length else []


def _find_week(day: int) -> int:
    return (day - _MONDAY) // 7


def _find_month(day: int) -> int:
    found = date.fromordinal(day + EPOCH)
    return found.year * 12 + found.month - 1


def parse_calendar(
    text: str, anchor: date, zone: Zone, *, runs_after_gap: bool = True, runs_in_both_passes: bool = False
) -> ClockRule:
    """Raises RuleError. Without weekdays or a day of the month, those of the anchor count."""
    match = _FORM.fullmatch(" ".join(text.lower().split()))
    if match is None:
        raise RuleError("rule", f"A calendar rule reads like: {EXAMPLE}. Units are days, weeks and months.")
    count, unit, last, month_day, weekdays, times = match.groups()
    number = int(count or 1)
    if not 1 <= number <= _MAX_COUNT:
        raise RuleError("rule", f"every {number}: the number is 1 to {_MAX_COUNT}.")
    if (weekdays and unit != "week") or ((last or month_day) and unit != "month"):
        raise RuleError("rule", "Weekdays belong to weeks, and a day of the month to months.")
    start = anchor.toordinal() - EPOCH
    days = CalendarDays(
        number,
        unit,  # type: ignore[arg-type]  # the pattern allows the three
        start,
        _parse_weekdays(weekdays) if weekdays else (anchor.weekday(),),
        _parse_month_day(month_day) if month_day else LAST_DAY if last else anchor.day,
    )
    if next(days.iterate(start), None) is None:
        raise RuleError("rule", f"The rule never matches: no month that it counts has a day {days.month_day}.")
    return ClockRule(days, array("i", _parse_times(times)), True, zone, runs_after_gap, runs_in_both_passes)


def _parse_weekdays(text: str) -> tuple[int, ...]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in WEEKDAYS and name not in _FULL_NAMES:
            raise RuleError("rule", f"{name[:40]!r} is not a weekday. Allowed are {', '.join(WEEKDAYS)}.")
    return tuple(sorted({WEEKDAYS.index(name[:3]) for name in names}))


def _parse_month_day(text: str) -> int:
    if not 1 <= int(text) <= 31:
        raise RuleError("rule", f"day {text} is not in 1 to 31.")
    return int(text)


def _parse_times(text: str) -> list[int]:
    times = set()
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", part.strip())
        hour, minute, second = (int(number or 0) for number in match.groups()) if match else (24, 0, 0)
        if hour > 23 or minute > 59 or second > 59:
            raise RuleError("rule", f"{part.strip()!r} is not a time of day. Write 00:00 to 23:59.")
        times.add(hour * 3600 + minute * 60 + second)
    if len(times) > _MAX_TIMES:
        raise RuleError("rule", f"A calendar rule has at most {_MAX_TIMES} times of day; this has {len(times)}.")
    return sorted(times)
