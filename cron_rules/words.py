"""A rule in English, for people who don't read cron."""

from datetime import UTC, datetime

from cron_rules.cron import REBOOT, CronFields, parse_fields
from cron_rules.fields import Field

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ORDINALS = ("", "first", "second", "third", "fourth", "fifth")
_WORKDAYS = [1, 2, 3, 4, 5]
_MAX_TIMES = 6
_UNITS = ((604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def describe_cron(text: str, zone: str, seed: str = "", day_match: str = "any") -> str:
    """Raises RuleError for a text that can't be parsed."""
    if text.strip().lower() == REBOOT:
        return "Once each time the installation starts."
    fields = parse_fields(text, seed)
    parts = [_describe_time(fields), _describe_days(fields, day_match), _describe_months(fields)]
    sentence = ", ".join(part for part in parts if part)
    return f"{sentence[0].upper()}{sentence[1:]} ({zone})."


def describe_interval(seconds: int, anchor: int) -> str:
    since = datetime.fromtimestamp(anchor, UTC)
    return f"Every {_format_duration(seconds)}, counted from {since:%Y-%m-%d %H:%M:%S} UTC."


def describe_calendar(text: str, zone: str) -> str:
    words = " ".join(text.lower().split())
    return f"{words[0].upper()}{words[1:]} ({zone})."


def _format_duration(seconds: int) -> str:
    for size, name in _UNITS:
        if seconds % size == 0:
            count = seconds // size
            return name if count == 1 else f"{count} {name}s"
    raise AssertionError  # every number is a multiple of 1


def _describe_time(fields: CronFields) -> str:
    seconds, minutes, hours = (sorted(field.values) for field in (fields.second, fields.minute, fields.hour))
    if seconds != [0]:
        return _describe_with_seconds(fields, seconds, minutes, hours)
    if len(hours) * len(minutes) <= _MAX_TIMES and not fields.minute.is_star:
        return f"at {_join([f'{hour:02}:{minute:02}' for hour in hours for minute in minutes])}"
    if len(minutes) == 1 and (text := _describe_regular_hours(hours, minutes[0])):
        return text
    return _describe_repeated(minutes, "minute", "hour") + _describe_hours(hours, minutes)


def _describe_regular_hours(hours: list[int], minute: int) -> str:
    """Empty for hours that the general text describes well."""
    step = _find_even_step(hours, 24)
    if step:
        return f"every {step} hours, starting at {hours[0]:02}:{minute:02}"
    if minute == 0 and len(hours) < 24 and hours == list(range(hours[0], hours[-1] + 1)):
        return f"every hour from {hours[0]:02}:00 to {hours[-1]:02}:00"
    return ""


def _describe_with_seconds(fields: CronFields, seconds: list[int], minutes: list[int], hours: list[int]) -> str:
    if len(seconds) * len(minutes) * len(hours) <= _MAX_TIMES:
        times = [f"{hour:02}:{minute:02}:{second:02}" for hour in hours for minute in minutes for second in seconds]
        return f"at {_join(times)}"
    text = _describe_repeated(seconds, "second", "minute")
    if len(minutes) < 60:
        text += f", in the minutes {_shorten(minutes)}" if len(minutes) > 1 else f", in the minute {minutes[0]}"
    return text + _describe_hours(hours, [])


def _describe_repeated(values: list[int], unit: str, whole: str) -> str:
    if len(values) == 60:
        return f"every {unit}"
    step = _find_even_step(values, 60)
    if step and values[0] == 0:
        return f"every {step} {unit}s"
    if values == [0] and unit == "minute":
        return "every hour, on the hour"
    if len(values) == 1:
        return f"{values[0]} {unit}{'s' if values[0] != 1 else ''} past every {whole}"
    return f"at the {unit}s {_shorten(values)} of every {whole}"


def _find_even_step(values: list[int], whole: int) -> int:
    """The step if the values are evenly spaced through `whole`, else 0."""
    step = values[1] - values[0] if len(values) > 1 else 0
    is_even = step > 1 and whole % step == 0 and len(values) == whole // step
    return step if is_even and values == list(range(values[0], whole, step)) else 0


def _describe_hours(hours: list[int], minutes: list[int]) -> str:
    if len(hours) == 24:
        return ""
    if hours == list(range(hours[0], hours[-1] + 1)):
        end = max(minutes, default=59)
        return f" from {hours[0]:02}:00 to {hours[-1]:02}:{end:02}"
    return f" in the hours {_shorten(hours)}"


def _describe_days(fields: CronFields, day_match: str) -> str:
    by_month = _describe_day_of_month(fields.day)
    by_week = _describe_weekdays(fields.weekday)
    needs_both = day_match == "all" or fields.needs_both_days
    if not (by_month or by_week) or not (needs_both or (by_month and by_week)):
        return "every day" if len(fields.hour.values) < 24 else ""
    if not by_month or not by_week:
        return by_month or by_week
    return f"{by_month}, if that day is {_name_weekdays(fields.weekday)}" if needs_both else f"{by_month} or {by_week}"


def _describe_day_of_month(field: Field) -> str:
    parts = []
    if len(field.values) == 31:
        return ""
    if field.values:
        days = sorted(field.values)
        parts.append(f"day {days[0]} of the month" if len(days) == 1 else f"days {_shorten(days)} of the month")
    for offset in sorted(field.last_offsets):
        before = f"the day that is {offset} day{'s' if offset != 1 else ''} before " if offset else ""
        parts.append(f"{before}the last day of the month")
    parts += [f"the weekday nearest to day {day} of the month" for day in sorted(field.near)]
    if field.is_last_workday:
        parts.append("the last weekday of the month")
    return f"on {_join(parts)}"


def _describe_weekdays(field: Field) -> str:
    days = sorted(field.values, key=lambda day: (day - 1) % 7)
    if len(days) == 7:
        return ""
    if days == _WORKDAYS and not (field.nth or field.last):
        return "from Monday to Friday"
    return f"on {_join([*(f'{_WEEKDAYS[day]}s' for day in days), *_list_chosen_weekdays(field)])}"


def _list_chosen_weekdays(field: Field) -> list[str]:
    parts = [f"the {_ORDINALS[number]} {_WEEKDAYS[day]} of the month" for day, number in sorted(field.nth)]
    return parts + [f"the last {_WEEKDAYS[day]} of the month" for day in sorted(field.last)]


def _name_weekdays(field: Field) -> str:
    """For a day of the month that must be one of them."""
    days = sorted(field.values, key=lambda day: (day - 1) % 7)
    if days == _WORKDAYS and not (field.nth or field.last):
        return "a day from Monday to Friday"
    return _join([*(f"a {_WEEKDAYS[day]}" for day in days), *_list_chosen_weekdays(field)], "or")


def _describe_months(fields: CronFields) -> str:
    months = sorted(fields.month.values)
    return "" if len(months) == 12 else f"in {_join([_MONTHS[month - 1] for month in months])}"


def _shorten(values: list[int]) -> str:
    if len(values) > 3 and values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    texts = [str(value) for value in values]
    return _join(texts) if len(texts) <= 12 else f"{', '.join(texts[:4])}, ..., {texts[-1]}"


def _join(parts: list[str], last_word: str = "and") -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last_word} {parts[-1]}"
