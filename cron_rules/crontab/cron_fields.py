"""The five fields of an entry as cron itself reads them, independent of the rules of schedules.

Vixie cron and its successors in Debian and in cronie agree on what is here, except where a text says so.
"""

import re
from dataclasses import dataclass

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LIMITS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_RANGE = re.compile(r"(\*|[A-Za-z0-9]+)(?:-([A-Za-z0-9]+))?(?:/([0-9]+))?", re.ASCII)
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class CronRefusal(ValueError):
    """cron refuses the fields. The message says why."""


@dataclass(frozen=True)
class CronTimes:
    """Weekdays count from Sunday, 0. `is_wild`: minute or hour begins with `*`; cron calls the others fixed."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    month_days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_wild: bool
    needs_both_days: bool

    def has_day(self, month: int, month_day: int, weekday: int) -> bool:
        in_month, in_week = month_day in self.month_days, weekday in self.weekdays
        both = in_month and in_week if self.needs_both_days else in_month or in_week
        return both and month in self.months


def read_fields(text: str) -> CronTimes:
    """Of five fields or a nickname. Raises CronRefusal."""
    parts = NICKNAMES.get(text, text).split()
    if len(parts) != 5:
        raise CronRefusal(f"cron needs five fields; this has {len(parts)}.")
    values = [_read_list(index, part) for index, part in enumerate(parts)]
    stars = [part.startswith("*") for part in parts]
    return CronTimes(
        tuple(sorted(values[0])),
        tuple(sorted(values[1])),
        frozenset(values[2]),
        frozenset(values[3]),
        frozenset(day % 7 for day in values[4]),
        stars[0] or stars[1],
        stars[2] or stars[4],
    )


def _read_list(index: int, text: str) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        found |= _read_range(index, item)
    return found


def _read_range(index: int, item: str) -> set[int]:
    name, low, high = _LIMITS[index]
    match = _RANGE.fullmatch(item)
    if match is None:
        raise CronRefusal(f"cron does not know {item[:40]!r} as {name}.")
    first, last, step_text = match.groups()
    if step_text is not None and (len(step_text) > 4 or int(step_text) == 0):
        raise CronRefusal(f"cron refuses the step of {item[:40]!r}.")
    step = int(step_text or 1)
    if first == "*":
        if last is not None:
            raise CronRefusal(f"cron does not know {item[:40]!r} as {name}.")
        return set(range(low, high + 1, step))
    start = _read_value(index, first)
    if last is None:
        return {start}  # Debian's cron ignores a step here; cronie refuses it
    end = _read_value(index, last)
    if index == 4 and start > end == 0:
        end = 7
    if start > end:
        raise CronRefusal(f"The range {item[:40]} is reversed: for cron it has no value, so it never runs.")
    return set(range(start, end + 1, step))


def _read_value(index: int, text: str) -> int:
    name, low, high = _LIMITS[index]
    names = {3: _MONTHS, 4: _WEEKDAYS}.get(index, ())
    if text.lower() in names:
        return names.index(text.lower()) + low
    if not text.isdigit() or len(text) > 4 or not low <= int(text) <= high:
        raise CronRefusal(f"cron refuses {text[:40]!r} as {name}: it is not in {low} to {high}.")
    return int(text)
