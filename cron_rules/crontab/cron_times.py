"""When cron itself starts an entry: minute by minute on the local wall clock, with cron's rule for clock changes.

Cron keeps a virtual clock. If the clock goes forward by up to three hours, entries with a `*` as minute or hour follow
the clock, and all others run once for each minute that was skipped. If it goes back by up to three hours, only entries
with a `*` run until the clock is where it was. After larger changes cron continues with the new time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice

from cron_rules.crontab.cron_fields import CronTimes
from cron_rules.zones import DAY, Zone

_EPOCH = date(1970, 1, 1).toordinal()
_MINUTE = 60
_LARGE = 180 * _MINUTE  # cron treats a larger change as a new time
_SMALL = 5 * _MINUTE


@dataclass(frozen=True)
class _Stretch:
    """The instants from `start` to before `end` have one offset."""

    start: int
    end: int
    offset: int


def list_cron_times(
    times: CronTimes, zone: Zone, after: int, end: int, limit: int, *, is_foreign: bool = False
) -> list[int]:
    """The instants later than `after` and before `end`, ascending; the first `limit`. One that starts several runs is
    there several times. `is_foreign`: the zone is that of CRON_TZ, for which cron knows no changes of the clock."""
    found = (at for at in _iterate_times(times, zone, after, end, is_foreign) if after < at < end)
    return list(islice(found, limit))


def _iterate_times(times: CronTimes, zone: Zone, after: int, end: int, is_foreign: bool) -> Iterator[int]:
    stretches = _list_stretches(zone, after // _MINUTE * _MINUTE - 2 * DAY, end)
    previous: _Stretch | None = None
    for stretch in stretches:
        first = stretch.start + stretch.offset
        if previous is not None and not is_foreign:
            virtual = stretch.start + previous.offset - _MINUTE  # the label of the last minute that cron handled
            passed = first - virtual
            if 0 < passed <= _SMALL or (_SMALL < passed <= _LARGE and not times.is_wild):
                yield from (stretch.start for _ in _iterate_labels(times, virtual + _MINUTE, first + _MINUTE))
                first += _MINUTE
            elif -_LARGE <= passed <= 0 and not times.is_wild:
                first = virtual + _MINUTE
        begin = max(first, after + stretch.offset)
        yield from (label - stretch.offset for label in _iterate_labels(times, begin, stretch.end + stretch.offset))
        previous = stretch


def _list_stretches(zone: Zone, start: int, end: int) -> list[_Stretch]:
    found, offset = [], zone.get_offset(start)
    for transition in zone.list_between(start, end):
        found.append(_Stretch(start, transition.at, offset))
        start, offset = transition.at, transition.after
    return [*found, _Stretch(start, end, offset)]


def _iterate_labels(times: CronTimes, start: int, end: int) -> Iterator[int]:
    """The local times of the entry from `start` to before `end`."""
    for day in range(start // DAY, (end - 1) // DAY + 1):
        local = date.fromordinal(day + _EPOCH)
        if not times.has_day(local.month, local.day, local.isoweekday() % 7):
            continue
        for hour in times.hours:
            for minute in times.minutes:
                label = day * DAY + hour * 3600 + minute * _MINUTE
                if start <= label < end:
                    yield label
