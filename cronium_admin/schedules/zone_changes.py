"""Which schedules another version of the time-zone data would move. Changes nothing."""

import io
import re
import zipfile
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from cron_rules.errors import RuleError
from cron_rules.plan import Plan
from cron_rules.zones import DAY, Zone
from cronium_admin.schedules.models import Kind, Schedule
from cronium_admin.schedules.rules import build_plan, to_datetime, to_instant

MAX_TIMES = 600_000  # compared times of one schedule: a year of minutes
_VERSION = re.compile(r'^IANA_VERSION = "([^"]{1,20})"', re.MULTILINE)


class ZoneArchiveError(ValueError):
    """The file is no wheel of the package tzdata."""


@dataclass(frozen=True)
class ZoneArchive:
    """Time-zone data that is not installed. `load` raises RuleError for a zone that it doesn't have."""

    version: str
    load: Callable[[str], Zone]


@dataclass(frozen=True)
class Move:
    """The first time that differs; None: there is no such time any more, or none in the installed data."""

    schedule: Schedule
    before: datetime | None
    after: datetime | None


def open_zone_archive(path: Path) -> ZoneArchive:
    """Reads a wheel of the package tzdata. Raises ZoneArchiveError, OSError."""
    try:
        with zipfile.ZipFile(path) as wheel:
            source = wheel.read("tzdata/__init__.py").decode()
            files = {name: wheel.read(name) for name in wheel.namelist() if name.startswith("tzdata/zoneinfo/")}
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise ZoneArchiveError(f"{path} is no wheel of the package tzdata: {error}") from error
    found = _VERSION.search(source)
    if found is None:
        raise ZoneArchiveError(f"{path} does not name the version of its data")
    zones: dict[str, Zone] = {}

    def load(name: str) -> Zone:
        if name not in zones:
            data = files.get(f"tzdata/zoneinfo/{name}")
            if data is None:
                raise RuleError("timezone", f"{name} is not in tzdata {found[1]}.")
            zones[name] = Zone(name, zoneinfo.ZoneInfo.from_file(io.BytesIO(data), key=name))
        return zones[name]

    return ZoneArchive(found[1], load)


def find_moves(archive: ZoneArchive, now: datetime, days: int) -> Iterator[Move]:
    """The enabled schedules that have other times with `archive` in the next `days` days, by their id."""
    start = to_instant(now)
    rows = Schedule.objects.filter(enabled=True, kind__in=[Kind.CRON, Kind.CALENDAR]).select_related("job", "calendar")
    for schedule in rows.order_by("pk").iterator(chunk_size=500):
        try:
            plan, other = build_plan(schedule), build_plan(schedule, archive.load)
        except RuleError:
            yield Move(schedule, schedule.next_at, None)
            continue
        if move := _compare(schedule, plan, other, start, start + days * DAY):
            yield move


def _compare(schedule: Schedule, plan: Plan, other: Plan, start: int, end: int) -> Move | None:
    known, moved = ((time.at for time in islice(each.iterate(start), MAX_TIMES)) for each in (plan, other))
    while True:
        before, after = next(known, None), next(moved, None)
        if before == after:
            if before is None or before > end:
                return None
            continue
        if min(time for time in (before, after) if time is not None) > end:
            return None
        times = [None if time is None else to_datetime(time) for time in (before, after)]
        return Move(schedule, *times)
