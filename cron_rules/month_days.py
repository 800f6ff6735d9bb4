"""The days of a cron rule: from its day of month, month and day of week."""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from cron_rules.fields import Field
from cron_rules.zones import LAST_YEAR

EPOCH = date(1970, 1, 1).toordinal()
FIRST_YEAR = 1970
CYCLE_YEARS = 400  # the calendar repeats
# Each of the 14 kinds of year: seven first weekdays, with and without 29 February.
_EVERY_KIND_OF_YEAR = range(2000, 2028)


@dataclass(frozen=True)
class MonthDays:
    """`needs_both`: a day must match both day fields; else either is enough."""

    days: Field
    weekdays: Field
    months: tuple[int, ...]
    needs_both: bool
    _known: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict, compare=False, repr=False)

    def find_days(self, year: int, month: int) -> tuple[int, ...]:
        """The matching days of the month, ascending."""
        weekday, length = calendar.monthrange(year, month)
        key = (weekday, length)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._match((weekday + 1) % 7, length)
        return found

    def _match(self, first_weekday: int, length: int) -> tuple[int, ...]:
        by_month = _match_days_of_month(self.days, first_weekday, length)
        by_week = _match_weekdays(self.weekdays, first_weekday, length)
        return tuple(sorted(by_month & by_week if self.needs_both else by_month | by_week))

    def has_a_day(self) -> bool:
        return any(self.find_days(year, month) for year in _EVERY_KIND_OF_YEAR for month in self.months)

    def iterate(self, first: int) -> Iterator[int]:
        start = date.fromordinal(max(first, 0) + EPOCH)
        for year in range(start.year, min(start.year + CYCLE_YEARS, LAST_YEAR) + 1):
            for month in self.months:
                if (year, month) >= (start.year, start.month):
                    base = date(year, month, 1).toordinal() - EPOCH - 1
                    for day in self.find_days(year, month):
                        if base + day >= first:
                            yield base + day

    def iterate_back(self, last: int) -> Iterator[int]:
        if last < 0:
            return
        end = date.fromordinal(last + EPOCH)
        for year in range(end.year, max(end.year - CYCLE_YEARS, FIRST_YEAR) - 1, -1):
            for month in reversed(self.months):
                if (year, month) <= (end.year, end.month):
                    base = date(year, month, 1).toordinal() - EPOCH - 1
                    for day in reversed(self.find_days(year, month)):
                        if base + day <= last:
                            yield base + day


def _match_days_of_month(days: Field, first_weekday: int, length: int) -> set[int]:
    matching = {day for day in days.values if day <= length}
    matching |= {length - offset for offset in days.last_offsets if length - offset >= 1}
    matching |= {_find_workday(day, first_weekday, length) for day in days.near if day <= length}
    if days.is_last_workday:
        matching.add(_find_workday(length, first_weekday, length))
    return matching


def _find_workday(day: int, first_weekday: int, length: int) -> int:
    """The day of Monday to Friday that is nearest, within the month."""
    weekday = (first_weekday + day - 1) % 7
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 0:
        return day + 1 if day < length else day - 2
    return day


def _match_weekdays(weekdays: Field, first_weekday: int, length: int) -> set[int]:
    def find_first(weekday: int) -> int:
        return 1 + (weekday - first_weekday) % 7

    matching = {day for weekday in weekdays.values for day in range(find_first(weekday), length + 1, 7)}
    matching |= {day for weekday, nth in weekdays.nth if (day := find_first(weekday) + 7 * (nth - 1)) <= length}
    for weekday in weekdays.last:
        matching.add(max(range(find_first(weekday), length + 1, 7)))
    return matching
