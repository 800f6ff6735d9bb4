"""From a calendar's fields to its closed days."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial

from cron_rules.calendar_text import parse_dates, parse_weekdays
from cron_rules.closed_days import WEEKDAY_NAMES, ClosedDays
from cron_rules.month_days import EPOCH
from cronium_admin.schedules.calendars.national_holidays import check_country, list_holidays
from cronium_admin.schedules.models import Calendar

SHOWN_DAYS = 366


@dataclass(frozen=True)
class ClosedDay:
    """`weekday` is its name; `is_weekend`: the calendar closes that weekday anyway."""

    day: date
    text: str
    weekday: str
    is_weekend: bool


def build_closed_days(calendar: Calendar) -> ClosedDays:
    """Raises RuleError, whose field is one of the calendar's."""
    weekdays = parse_weekdays(calendar.list_weekdays())
    dates = parse_dates(calendar.dates.splitlines())
    check_country(calendar.country, calendar.subdivision)
    if not calendar.country:
        return ClosedDays(calendar.name, weekdays, dates)
    holidays = partial(list_holidays, calendar.country, calendar.subdivision)
    return ClosedDays(calendar.name, weekdays, dates, holidays)


def iterate_closed(days: ClosedDays, first: date, count: int = SHOWN_DAYS) -> Iterator[ClosedDay]:
    """The closed days of `count` days from `first` on that are dates or holidays, so without mere weekends."""
    plain = ClosedDays(days.name, frozenset(), days.dates, days.list_holidays)
    start = first.toordinal()
    for ordinal in range(start, start + count):
        text = plain.find_name(ordinal - EPOCH)
        if text is not None:
            day = date.fromordinal(ordinal)
            yield ClosedDay(day, text, WEEKDAY_NAMES[day.weekday()], day.weekday() in days.weekdays)


def describe_weekdays(days: ClosedDays) -> str:
    """As "each Saturday and Sunday"; empty without any."""
    names = [WEEKDAY_NAMES[weekday] for weekday in sorted(days.weekdays)]
    if not names:
        return ""
    return "each " + (names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}")
