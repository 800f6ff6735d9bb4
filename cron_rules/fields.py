"""One field of a cron rule: from its text to the values that it names."""

import hashlib
import re
from dataclasses import dataclass, field

from cron_rules.errors import RuleError

_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
_SUNDAY_AT_END = 7
_MAX_NTH = 5


@dataclass(frozen=True)
class FieldKind:
    name: str
    low: int
    high: int
    names: dict[str, int] = field(default_factory=dict)
    hash_high: int | None = None  # H chooses up to here
    is_day: bool = False

    @property
    def is_weekday(self) -> bool:
        return self.names is _WEEKDAYS


SECOND = FieldKind("second", 0, 59)
MINUTE = FieldKind("minute", 0, 59)
HOUR = FieldKind("hour", 0, 23)
DAY_OF_MONTH = FieldKind("day of month", 1, 31, hash_high=28, is_day=True)
MONTH = FieldKind("month", 1, 12, _MONTHS)
DAY_OF_WEEK = FieldKind("day of week", 0, 7, _WEEKDAYS, hash_high=6, is_day=True)


@dataclass(frozen=True)
class Field:
    """`is_star`: the text begins with `*` (or is `?`), so that it restricts nothing by itself.

    Of the day of month: `last_offsets` are days before the last of the month, `near` are days whose nearest weekday is
    meant, `is_last_workday` is LW. Of the day of week (0 is Sunday): `nth` are pairs (weekday, 1 to 5), `last` are
    weekdays whose last one in the month is meant.
    """

    text: str
    values: frozenset[int]
    is_star: bool = False
    last_offsets: frozenset[int] = frozenset()
    near: frozenset[int] = frozenset()
    is_last_workday: bool = False
    nth: frozenset[tuple[int, int]] = frozenset()
    last: frozenset[int] = frozenset()


@dataclass
class _Found:
    values: set[int] = field(default_factory=set)
    last_offsets: set[int] = field(default_factory=set)
    near: set[int] = field(default_factory=set)
    is_last_workday: bool = False
    nth: set[tuple[int, int]] = field(default_factory=set)
    last: set[int] = field(default_factory=set)


_HASHED = re.compile(r"H(?:\(([0-9]+)-([0-9]+)\))?(?:/([0-9]+))?")
_RANGE = re.compile(r"(\*|[A-Z0-9]+)(?:-([A-Z0-9]+))?(?:/(.*))?")
_LAST = re.compile(r"L(?:-([0-9]{1,2}))?")
_NEAR = re.compile(r"([0-9]{1,2})W")
_NTH = re.compile(r"([A-Z0-9]+)#(.*)")
_LAST_WEEKDAY = re.compile(r"([0-9]|[A-Z]{3})L")


def parse_field(kind: FieldKind, text: str, seed: str) -> Field:
    """`seed` identifies the schedule: H chooses by it. Raises RuleError."""
    found = _Found()
    odd = next((character for character in text if not (character.isascii() and character.isprintable())), None)
    if odd is not None:
        raise RuleError(kind.name, f"{kind.name}: {odd!a} is not allowed. Write the digits 0 to 9.")
    upper = text.upper()
    if kind.is_day and upper == "?":
        upper = "*"
    for item in upper.split(","):
        if not item:
            raise RuleError(kind.name, f"{kind.name}: a comma has no value beside it.")
        if not _parse_day_item(kind, item, found):
            found.values |= _parse_item(kind, item, seed)
    return Field(
        text,
        frozenset(value % 7 for value in found.values) if kind.is_weekday else frozenset(found.values),
        upper.startswith("*"),
        frozenset(found.last_offsets),
        frozenset(found.near),
        found.is_last_workday,
        frozenset(found.nth),
        frozenset(found.last),
    )


def _parse_day_item(kind: FieldKind, item: str, found: _Found) -> bool:
    """The forms that depend on the month. Returns False if the item has none of them."""
    if kind is DAY_OF_MONTH:
        return _parse_day_of_month(kind, item, found)
    if not kind.is_weekday:
        return False
    if match := _NTH.fullmatch(item):
        if match[2] not in {"1", "2", "3", "4", "5"}:
            raise RuleError(kind.name, f"{kind.name}: {item}: the number after # is 1 to {_MAX_NTH}.")
        found.nth.add((_parse_value(kind, match[1]) % 7, int(match[2])))
        return True
    if match := _LAST_WEEKDAY.fullmatch(item):
        found.last.add(_parse_value(kind, match[1]) % 7)
        return True
    if item == "L":
        raise RuleError(kind.name, f"{kind.name}: L needs a weekday: 5L is the last Friday of the month.")
    return False


def _parse_day_of_month(kind: FieldKind, item: str, found: _Found) -> bool:
    if item in {"LW", "WL"}:
        found.is_last_workday = True
    elif match := _LAST.fullmatch(item):
        offset = int(match[1] or 0)
        if offset > 30:
            raise RuleError(kind.name, f"{kind.name}: {item}: no month has a day {offset} days before its last.")
        found.last_offsets.add(offset)
    elif match := _NEAR.fullmatch(item):
        found.near.add(_parse_value(kind, match[1]))
    else:
        return False
    return True


def _parse_item(kind: FieldKind, item: str, seed: str) -> set[int]:
    if match := _HASHED.fullmatch(item):
        return _parse_hashed(kind, item, match, seed)
    match = _RANGE.fullmatch(item)
    if match is None:
        raise RuleError(kind.name, f"{kind.name}: {item[:40]} is not understood. {_describe_allowed(kind)}")
    first, last, step_text = match.groups()
    step = _parse_step(kind, item, step_text)
    if first == "*":
        if last is not None:
            raise RuleError(kind.name, f"{kind.name}: {item[:40]}: a range has two numbers, such as 1-5.")
        return set(range(kind.low, _get_last_value(kind) + 1, step))
    low = _parse_value(kind, first)
    if last is None:
        return {low} if step_text is None else set(range(low, max(low, _get_last_value(kind)) + 1, step))
    high = _parse_value(kind, last)
    if kind.is_weekday and last == "SUN" and low > 0:
        high = _SUNDAY_AT_END
    if low > high:
        hint = _suggest_order(kind, first, last, high)
        raise RuleError(kind.name, f"{kind.name}: the range {first}-{last} is reversed. Write {hint}.")
    return set(range(low, high + 1, step))


def _parse_step(kind: FieldKind, item: str, text: str | None) -> int:
    if text is None:
        return 1
    if not text.isdigit() or len(text) > 4 or int(text) == 0:
        raise RuleError(kind.name, f"{kind.name}: {item[:40]}: the step after / is a number from 1.")
    return int(text)


def _parse_value(kind: FieldKind, text: str) -> int:
    if text in kind.names:
        return kind.names[text]
    if not text.isdigit():
        raise RuleError(kind.name, f"{kind.name}: {text[:40]} is not understood. {_describe_allowed(kind)}")
    value = int(text)  # MAX_LENGTH bounds it
    if not kind.low <= value <= kind.high:
        raise RuleError(kind.name, f"{kind.name}: {text[:40]} is not in {kind.low} to {kind.high}.")
    return value


def _parse_hashed(kind: FieldKind, item: str, match: re.Match[str], seed: str) -> set[int]:
    low, high = kind.low, kind.hash_high if kind.hash_high is not None else kind.high
    if match[1] is not None:
        low, high = _parse_value(kind, match[1]), _parse_value(kind, match[2])
        if low > high:
            raise RuleError(kind.name, f"{kind.name}: the range {low}-{high} is reversed. Write H({high}-{low}).")
    step = _parse_step(kind, item, match[3])
    number = int.from_bytes(hashlib.sha256(f"{seed}\0{kind.name}".encode()).digest()[:8], "big")
    if match[3] is None:
        return {low + number % (high - low + 1)}
    return set(range(low + number % min(step, high - low + 1), high + 1, step))


def _get_last_value(kind: FieldKind) -> int:
    return 6 if kind.is_weekday else kind.high


def _suggest_order(kind: FieldKind, first: str, last: str, high: int) -> str:
    if kind.is_weekday and high == 0:
        return f"{first}-7"
    if kind.is_weekday and first == "7":
        return f"0-{last}"
    start = next((name for name, number in kind.names.items() if number == kind.low), str(kind.low))
    end = next(
        (name for name, number in kind.names.items() if number == _get_last_value(kind)), str(_get_last_value(kind))
    )
    if not kind.names or first.isdigit():
        start, end = str(kind.low), str(_get_last_value(kind))
    second = last if last == start else f"{start}-{last}"
    return f"{first if first == end else f'{first}-{end}'},{second}"


def _describe_allowed(kind: FieldKind) -> str:
    names = f", {next(iter(kind.names))} to {list(kind.names)[-1]}" if kind.names else ""
    more = {"day of month": ", L, L-2, LW, 15W", "day of week": ", 5L, MON#2"}.get(kind.name, "")
    return f"Allowed are {kind.low} to {kind.high}{names}, *, lists, ranges and steps{more}."
