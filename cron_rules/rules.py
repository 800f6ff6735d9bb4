"""The forms of a rule, parsed and checked."""

from __future__ import annotations  # `array[int]` is a type from Python 3.12 on

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from cron_rules.zones import Zone

MAX_GAP_SECONDS = 3 * 3600  # labels of a larger gap don't run


class Days(Protocol):
    """The local days of a rule. Both directions end: after 400 years without a day, and at the years 1970 and 9990."""

    def iterate(self, first: int) -> Iterator[int]:
        """The days from `first` on, ascending."""
        ...

    def iterate_back(self, last: int) -> Iterator[int]:
        """The days up to `last`, descending."""
        ...


@dataclass(frozen=True)
class ClockRule:
    """Runs at times of day on certain local days: a cron rule or a calendar rule.

    `times` are seconds of the day, ascending. `is_fixed`: it names times of day, so each runs once a day, whatever the
    clock does. Else it is frequent, and runs as often as its labels pass.
    """

    days: Days
    times: array[int]
    is_fixed: bool
    zone: Zone
    runs_after_gap: bool = True
    runs_in_both_passes: bool = False


@dataclass(frozen=True)
class IntervalRule:
    """Runs at `anchor` + k x `seconds`, for k = 0, 1, 2, ..."""

    seconds: int
    anchor: int


@dataclass(frozen=True)
class OnceRule:
    at: int


@dataclass(frozen=True)
class StartRule:
    """@reboot: once for each start of the installation. Its times are the known starts, ascending."""

    starts: tuple[int, ...] = ()


Rule = ClockRule | IntervalRule | OnceRule | StartRule


@lru_cache(maxsize=512)
def list_times_of_day(hours: tuple[int, ...], minutes: tuple[int, ...], seconds: tuple[int, ...]) -> array[int]:
    """Ascending, if its arguments are. Rules with equal fields share one array."""
    times = (hour * 3600 + minute * 60 + second for hour in hours for minute in minutes for second in seconds)
    return array("i", times)
