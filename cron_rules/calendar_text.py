"""The texts of a calendar: weekdays, and dates with a text, one a line.

2026-12-24 Christmas Eve
2026-12-27 - 2026-12-31 Company holidays
"""

import re
from collections.abc import Iterable
from datetime import date

from cron_rules.calendar_rules import WEEKDAYS
from cron_rules.errors import RuleError
from cron_rules.month_days import EPOCH

MAX_LINES, MAX_DAYS, MAX_LENGTH, MAX_TEXT = 1000, 366, 120, 100
EXAMPLES = "2026-12-24 Christmas Eve, or 2026-12-27 - 2026-12-31 Company holidays"
_DATE = "([0-9]{4}-[0-9]{2}-[0-9]{2})"
_LINE = re.compile(rf"{_DATE}(?: ?- ?{_DATE})?(?: (.*))?")


def parse_weekdays(names: Iterable[str]) -> frozenset[int]:
    """Counted from Monday, 0. Raises RuleError, whose field is "weekdays"."""
    found = set()
    for name in names:
        if name.lower() not in WEEKDAYS:
            allowed = ", ".join(WEEKDAYS)
            raise RuleError("weekdays", f"{name[:40]!r} is not a weekday. Allowed are {allowed}.")
        found.add(WEEKDAYS.index(name.lower()))
    if len(found) == len(WEEKDAYS):
        raise RuleError("weekdays", "All weekdays are closed, so no day would be open. Leave one out.")
    return frozenset(found)


def parse_dates(lines: Iterable[str]) -> dict[int, str]:
    """The texts by day, in order. Raises RuleError, whose field is "dates"."""
    found: dict[int, str] = {}
    texts = [" ".join(line.split()) for line in lines]
    texts = [text for text in texts if text]
    if len(texts) > MAX_LINES:
        raise _make_error(f"A calendar has at most {MAX_LINES} lines of dates; this has {len(texts)}.")
    for text in texts:
        first, last, name = _parse_line(text)
        found |= dict.fromkeys(range(first, last + 1), name)
    return dict(sorted(found.items()))


def _make_error(text: str) -> RuleError:
    return RuleError("dates", text)


def _parse_line(text: str) -> tuple[int, int, str]:
    if len(text) > MAX_LENGTH:
        raise _make_error(f"A line has at most {MAX_LENGTH} characters: {text[:40]!r}.")
    if not text.isprintable():
        raise _make_error(f"A line has characters that can't be shown: {text[:40]!a}.")
    match = _LINE.fullmatch(text)
    if match is None:
        raise _make_error(f"{text[:60]!r} is not a date. Write {EXAMPLES}.")
    first = _read_day(text, match[1])
    last = _read_day(text, match[2]) if match[2] else first
    if last < first:
        raise _make_error(f"{text[:60]!r}: the last day is before the first.")
    if last - first >= MAX_DAYS:
        raise _make_error(f"{text[:60]!r}: a range has at most {MAX_DAYS} days; this has {last - first + 1:,}.")
    return first, last, (match[3] or "")[:MAX_TEXT]


def _read_day(text: str, found: str) -> int:
    try:
        day = date.fromisoformat(found)
    except ValueError:
        raise _make_error(f"{text[:60]!r}: there is no date {found}.") from None
    if not 1971 <= day.year <= 9989:
        raise _make_error(f"{text[:60]!r}: the year must be in 1971 to 9989.")
    return day.toordinal() - EPOCH
