"""Time zones of the pinned `tzdata` package. The time-zone files of the machine are never read."""

import importlib.resources
import re
import zoneinfo
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache

import tzdata

from cron_rules.errors import RuleError

DAY = 86_400
TZDATA_VERSION: str = tzdata.IANA_VERSION
LAST_YEAR = 9990
_OFFSET_NAME = re.compile(r"(?:UTC|GMT)([+-])0?([1-9]|1[0-4])(?::?00)?", re.IGNORECASE | re.ASCII)

zoneinfo.reset_tzpath(())  # for the whole process: a machine's older files would give other times


@dataclass(frozen=True, slots=True)
class Transition:
    """At the instant `at`, the offset from UTC changes. Offsets are in seconds."""

    at: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Segment:
    """The instants from `start` to before `end` have one offset."""

    start: int
    end: int
    offset: int


class Zone:
    """One time zone. Get it with `load_zone`. `info`: its rules in other zone data, for a comparison."""

    def __init__(self, name: str, info: zoneinfo.ZoneInfo | None = None) -> None:
        self.name = name
        self.info = info or zoneinfo.ZoneInfo(name)
        self._years: dict[int, list[Transition]] = {}
        self._changed_days: dict[int, frozenset[int]] = {}

    def get_offset(self, instant: int) -> int:
        offset = datetime.fromtimestamp(instant, self.info).utcoffset()
        return int(offset.total_seconds()) if offset is not None else 0

    def get_day(self, instant: int) -> int:
        return (instant + self.get_offset(instant)) // DAY

    def list_transitions(self, year: int) -> list[Transition]:
        """Those of one year in UTC, in order."""
        found = self._years.get(year)
        if found is None:
            found = self._years[year] = self._search_transitions(year)
        return found

    def _search_transitions(self, year: int) -> list[Transition]:
        # No zone has two transitions within a day (`test_zones`).
        start, end = _get_year_start(year), _get_year_start(year + 1)
        found, before = [], self.get_offset(start - 1)
        for probe in range(start + DAY - 1, end + DAY - 1, DAY):
            instant = min(probe, end - 1)
            after = self.get_offset(instant)
            if after != before:
                found.append(Transition(self._find_change(instant - DAY, instant, before), before, after))
                before = after
        return found

    def _find_change(self, low: int, high: int, before: int) -> int:
        """The first instant after `low` whose offset isn't `before`; `high` is such an instant."""
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.get_offset(middle) == before else (low, middle)
        return high

    def list_segments(self, first_day: int, last_day: int) -> list[Segment]:
        """Those that have a label of these days."""
        start, end = (first_day - 2) * DAY, (last_day + 3) * DAY
        segments, offset, begin = [], self.get_offset(start), start
        for transition in self.list_between(start, end):
            segments.append(Segment(begin, transition.at, offset))
            begin, offset = transition.at, transition.after
        segments.append(Segment(begin, end, offset))
        return segments

    def list_between(self, start: int, end: int) -> list[Transition]:
        """The transitions after `start` and before `end`."""
        years = range(_get_year(start), _get_year(end) + 1)
        return [found for year in years for found in self.list_transitions(year) if start < found.at < end]

    def is_changed(self, day: int) -> bool:
        """Whether a label of the day doesn't exist or comes twice, or the day's labels have two offsets."""
        year = _get_year(day * DAY)
        days = self._changed_days.get(year)
        if days is None:
            days = self._changed_days[year] = self._find_changed_days(year)
        return day in days

    def _find_changed_days(self, year: int) -> frozenset[int]:
        start, end = _get_year_start(year) - 2 * DAY, _get_year_start(year + 1) + 2 * DAY
        days: set[int] = set()
        for found in self.list_between(start, end):
            labels = sorted((found.at + found.before, found.at + found.after))
            days.update(range(labels[0] // DAY, labels[1] // DAY + 1))
        return frozenset(days)

    def find_gap(self, label: int) -> Transition | None:
        """The transition that skips the label, if one does."""
        for found in self.list_between(label - 2 * DAY, label + 2 * DAY):
            if found.at + found.before <= label < found.at + found.after:
                return found
        return None


def _get_year_start(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


_YEAR_STARTS = [_get_year_start(year) for year in range(1900, LAST_YEAR + 10)]


def _get_year(instant: int) -> int:
    return 1899 + bisect_right(_YEAR_STARTS, instant)


@lru_cache(maxsize=1)
def list_zone_names() -> frozenset[str]:
    text = importlib.resources.files("tzdata").joinpath("zones").read_text("utf-8")
    return frozenset(text.split())


@lru_cache(maxsize=1024)
def load_zone(name: str) -> Zone:
    """Raises RuleError for a name that `tzdata` doesn't have. Names are case-sensitive."""
    if name not in list_zone_names():
        text = f"{name[:60]!r} is not a time zone.{_suggest_zone(name)}"
        raise RuleError("timezone", f"{text} Write a name such as Europe/Berlin or UTC.")
    return Zone(name)


def _suggest_zone(name: str) -> str:
    """A sentence, or empty."""
    if match := _OFFSET_NAME.fullmatch(name.strip()):
        reversed_sign = "-" if match[1] == "+" else "+"
        known = f"Etc/GMT{reversed_sign}{int(match[2])}"
        if known in list_zone_names():
            return (
                f" Did you mean {known}? In these names the sign is reversed: {known} is UTC{match[1]}{int(match[2])}."
            )
    hint = _find_similar(name)
    return f" Did you mean {hint}?" if hint else ""


def _find_similar(name: str) -> str:
    wanted = name.strip()[:60].replace(" ", "_").lower()
    by_lower = {known.lower(): known for known in list_zone_names()}
    cities = {known.rsplit("/", 1)[-1].lower(): known for known in sorted(list_zone_names(), reverse=True)}
    if found := by_lower.get(wanted) or cities.get(wanted):
        return found
    close = get_close_matches(wanted, by_lower, 1, 0.85)
    return by_lower[close[0]] if close else ""
