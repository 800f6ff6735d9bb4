"""Blackout windows: weekly, daily and single spans in which no run starts.

01:00-04:00
sat,sun 08:00-18:00
sat 22:00-sun 06:00
2026-12-24 18:00 - 2026-12-27 06:00 Christmas

A text after the times names the window. A daily or weekly window covers every instant at which the local clock shows a
time in it, so its real length differs on days on which the clock changes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from cron_rules.calendar_rules import WEEKDAYS
from cron_rules.errors import RuleError
from cron_rules.month_days import EPOCH
from cron_rules.zones import DAY, Zone

MAX_WINDOWS, MAX_TEXT = 50, 120
WEEK = 7 * DAY
EXAMPLES = "01:00-04:00, sat 22:00-sun 06:00, or 2026-12-24 18:00 - 2026-12-27 06:00"
_MONDAY = 4 * DAY  # the label 1970-01-05T00:00 is a Monday
_CLOCK = r"([0-9]{1,2}):([0-9]{2})"
_NAMES = "monday|tuesday|wednesday|thursday|friday|saturday|sunday|mon|tue|wed|thu|fri|sat|sun"
_DAYS = rf"(?:{_NAMES})(?:[,-](?:{_NAMES}))*"
_WEEKLY = re.compile(rf"(?:({_DAYS}) )?{_CLOCK} ?- ?(?:({_NAMES}) )?{_CLOCK}(?: (.+))?", re.IGNORECASE)
_DATE = r"([0-9]{4})-([0-9]{2})-([0-9]{2})[ T]"
_SINGLE = re.compile(rf"{_DATE}{_CLOCK} ?- ?{_DATE}{_CLOCK}(?: (.+))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WeeklyWindow:
    """`spans` are seconds of the local week, from Monday 00:00; none crosses its end."""

    name: str
    spans: tuple[tuple[int, int], ...]

    def find_end(self, instant: int, label: int) -> int | None:
        """The end of the window around the instant, if no clock changes before it; None outside the window."""
        second = (label - _MONDAY) % WEEK
        ends = [end - second for start, end in self.spans if start <= second < end]
        return instant + max(ends) if ends else None


@dataclass(frozen=True, slots=True)
class SingleWindow:
    """From the instant `start` to before the instant `end`."""

    name: str
    start: int
    end: int

    def find_end(self, instant: int, label: int) -> int | None:
        return self.end if self.start <= instant < self.end else None


Window = WeeklyWindow | SingleWindow


def parse_windows(texts: Iterable[str], zone: Zone) -> tuple[Window, ...]:
    """Raises RuleError, whose field is "blackouts"."""
    lines = [" ".join(text.split()) for text in texts]
    windows = tuple(_parse_window(line, zone) for line in lines if line)
    if len(windows) > MAX_WINDOWS:
        raise _make_error(f"A schedule has at most {MAX_WINDOWS} blackout windows; this has {len(windows)}.")
    return windows


def _make_error(text: str) -> RuleError:
    return RuleError("blackouts", text)


def _parse_window(line: str, zone: Zone) -> Window:
    if len(line) > MAX_TEXT:
        raise _make_error(f"A blackout window has at most {MAX_TEXT} characters: {line[:40]!r}.")
    if not line.isprintable():
        raise _make_error(f"A blackout window has characters that can't be shown: {line[:40]!a}.")
    if match := _SINGLE.fullmatch(line):
        return _make_single(line, match, zone)
    if match := _WEEKLY.fullmatch(line):
        return WeeklyWindow(line, _list_spans(line, match))
    raise _make_error(f"{line[:60]!r} is not a blackout window. Write {EXAMPLES}.")


def _make_single(line: str, match: re.Match[str], zone: Zone) -> SingleWindow:
    first, last = _read_label(line, match.groups()[:5]), _read_label(line, match.groups()[5:10])
    start, end = min(_list_instants(first, zone)), max(_list_instants(last, zone))
    if end <= start:
        raise _make_error(f"{line[:60]!r}: the end is not after the start.")
    return SingleWindow(line, start, end)


def _read_label(line: str, parts: tuple[str, ...]) -> int:
    year, month, day, hour, minute = map(int, parts)
    try:
        found = date(year, month, day).toordinal() - EPOCH
    except ValueError:
        raise _make_error(f"{line[:60]!r}: there is no date {year:04}-{month:02}-{day:02}.") from None
    if not 1971 <= year <= 9989:
        raise _make_error(f"{line[:60]!r}: the year must be in 1971 to 9989.")
    return found * DAY + _read_clock(line, hour, minute)


def _list_instants(label: int, zone: Zone) -> list[int]:
    """Both passes of a label that comes twice; the end of the gap for one that doesn't exist."""
    segments = zone.list_segments(label // DAY, label // DAY)
    passes = [label - part.offset for part in segments if part.start <= label - part.offset < part.end]
    if not passes and (gap := zone.find_gap(label)):
        passes = [gap.at]
    return passes or [label - zone.get_offset(label)]


def _read_clock(line: str, hour: int, minute: int, *, is_end: bool = False) -> int:
    if minute > 59 or hour > 24 or (hour == 24 and (minute or not is_end)):
        raise _make_error(f"{line[:60]!r}: {hour:02}:{minute:02} is not a time of day. Write 00:00 to 23:59.")
    return hour * 3600 + minute * 60


def _list_spans(line: str, match: re.Match[str]) -> tuple[tuple[int, int], ...]:
    days, hour, minute, end_day, end_hour, end_minute, _ = match.groups()
    start = _read_clock(line, int(hour), int(minute))
    end = _read_clock(line, int(end_hour), int(end_minute), is_end=True)
    if start == end and not end_day:
        raise _make_error(f"{line[:60]!r}: the end is the start. Write 00:00-24:00 for whole days.")
    chosen = _read_days(line, days) if days else list(range(7))
    if not end_day:
        length = (end - start) % DAY or DAY
        return _join_spans(chosen, start, length)
    if len(chosen) != 1:
        raise _make_error(f"{line[:60]!r}: write one weekday before the first time, such as sat 22:00-sun 06:00.")
    first = chosen[0] * DAY + start
    length = (_find_weekday(end_day) * DAY + end - first) % WEEK
    if not length:
        raise _make_error(f"{line[:60]!r}: the end is the start.")
    return _join_spans([0], first, length)


def _join_spans(days: list[int], start: int, length: int) -> tuple[tuple[int, int], ...]:
    spans: list[tuple[int, int]] = []
    for day in days:
        first = (day * DAY + start) % WEEK
        spans.append((first, min(first + length, WEEK)))
        if first + length > WEEK:
            spans.append((0, first + length - WEEK))
    return tuple(sorted(spans))


def _read_days(line: str, text: str) -> list[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if "-" in last:
            raise _make_error(f"{line[:60]!r}: {part!r} is not a range of weekdays. Write mon-fri.")
        start, end = _find_weekday(first), _find_weekday(last or first)
        found.update((start + offset) % 7 for offset in range((end - start) % 7 + 1 if dash else 1))
    return sorted(found)


def _find_weekday(name: str) -> int:
    return WEEKDAYS.index(name[:3].lower())
