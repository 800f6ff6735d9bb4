"""Warnings for rules that people write and mean differently. They never refuse a rule."""

import calendar

from cron_rules.cron import REBOOT, CronFields, parse_fields
from cron_rules.fields import Field
from cron_rules.month_days import MonthDays

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_YEAR = 2027  # not a leap year


def list_warnings(text: str, seed: str = "", day_match: str = "any") -> list[str]:
    """Sentences. Raises RuleError for a text that can't be parsed."""
    if text.strip().lower() == REBOOT:
        return []
    fields = parse_fields(text, seed)
    found = [
        _find_uneven("second", fields.second) if fields.has_seconds else "",
        _find_uneven("minute", fields.minute),
        _find_uneven_hours(fields.hour),
        _find_every_minute(fields),
        _find_two_days(fields, day_match),
        _find_missing_months(fields),
    ]
    return [warning for warning in found if warning]


def _find_uneven(name: str, field: Field) -> str:
    step = _read_step(field)
    if step >= 60:
        whole = "hour" if name == "minute" else "minute"
        return f"{field.text} has one value each {whole}, 0. For a longer time between runs choose the kind interval."
    if not step or 60 % step == 0:
        return ""
    last = max(field.values)
    rest = 60 - last
    whole = "hour" if name == "minute" else "minute"
    return (
        f"{rest} {name}{'s' if rest != 1 else ''} between :{last:02} and :00: {field.text} begins again each {whole}."
    )


def _find_uneven_hours(field: Field) -> str:
    step = _read_step(field)
    if step >= 24:
        return f"{field.text} has one value each day, 0. For a longer time between runs choose the kind interval."
    if not step or 24 % step == 0:
        return ""
    last = max(field.values)
    rest = 24 - last
    return f"{rest} hour{'s' if rest != 1 else ''} between {last:02}:00 and 00:00: {field.text} begins again each day."


def _read_step(field: Field) -> int:
    head, _, step = field.text.partition("/")
    return int(step) if head == "*" and step.isdigit() else 0


def _find_every_minute(fields: CronFields) -> str:
    hours, seconds = sorted(fields.hour.values), len(fields.second.values)
    if len(fields.minute.values) < 60 or len(hours) > 3:
        return ""
    times = f"{60 * len(hours) * seconds:,} runs a day, {'one' if seconds == 1 else seconds} each minute"
    wish = f"run at {hours[0]:02}:00" if len(hours) == 1 else "run an hour"
    text, names = ("0 0", "second, minute and hour") if fields.has_seconds else ("0", "minute and hour")
    return f"{times}. For one {wish} write {text} {fields.hour.text} as the {names}."


def _find_two_days(fields: CronFields, day_match: str) -> str:
    day, weekday = fields.day, fields.weekday
    if day.text in "*?" or weekday.text in "*?":
        return ""
    if day_match == "all" or fields.needs_both_days:
        return "Day of month and day of week must both match."
    return (
        "Day of month and day of week are both set: it runs on days that match either one."
        ' Choose "both" if a day must match the two.'
    )


def _find_missing_months(fields: CronFields) -> str:
    if not fields.weekday.is_star:
        return ""
    days = MonthDays(fields.day, fields.weekday, tuple(sorted(fields.month.values)), True)
    empty = [month for month in days.months if not days.find_days(_YEAR, month)]
    if not empty:
        return ""
    if len(empty) == len(days.months):
        return "It runs in leap years only."
    names = ", ".join(calendar.month_name[month] for month in empty)
    have = "has" if len(empty) == 1 else "have"
    leap = ", except in leap years" if 2 in empty and days.find_days(2028, 2) else ""
    count = _COUNTS[len(empty)]
    months = "month" if len(empty) == 1 else "months"
    return f"{count.capitalize()} {months} {have} no such day: {names}{leap}. L means the last day of every month."
