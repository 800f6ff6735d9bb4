"""The days on which a calendar is closed: weekdays, listed dates and national holidays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from cron_rules.month_days import EPOCH

WEEKDAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FIRST_YEAR, _LAST_YEAR = 1970, 9990


def _list_no_holidays(year: int) -> Mapping[int, str]:
    return {}


@dataclass(frozen=True)
class ClosedDays:
    """`dates` maps days to their texts. `list_holidays` gives those of a year. Weekdays count from Monday, 0."""

    name: str
    weekdays: frozenset[int] = frozenset()
    dates: Mapping[int, str] = field(default_factory=dict)
    list_holidays: Callable[[int], Mapping[int, str]] = _list_no_holidays

    def find_name(self, day: int) -> str | None:
        """Why the day is closed; None for an open day."""
        found = date.fromordinal(day + EPOCH)
        if day in self.dates:
            return self.dates[day] or found.isoformat()
        if _FIRST_YEAR <= found.year <= _LAST_YEAR and (holiday := self.list_holidays(found.year).get(day)):
            return holiday
        return WEEKDAY_NAMES[found.weekday()] if found.weekday() in self.weekdays else None

    def find_reason(self, day: int) -> str | None:
        name = self.find_name(day)
        return None if name is None else f"closed: {name} (calendar {self.name})"
