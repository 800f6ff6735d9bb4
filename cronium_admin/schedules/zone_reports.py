"""Which time-zone data each process uses, so that `manage.py doctor` notices processes that differ."""

from datetime import timedelta

from cron_rules.zones import TZDATA_VERSION
from cronium_admin.core.database.clock import Now
from cronium_admin.schedules.models import ZoneDataReport

_IS_ALIVE = timedelta(minutes=3)
_KEPT = timedelta(days=1)


def report_zone_data(process: str) -> None:
    changed = ZoneDataReport.objects.filter(pk=process).update(tzdata=TZDATA_VERSION, seen_at=Now())
    if not changed:
        ZoneDataReport.objects.create(process=process, tzdata=TZDATA_VERSION, seen_at=Now())
        ZoneDataReport.objects.filter(seen_at__lt=Now() - _KEPT).delete()


def list_zone_data() -> dict[str, list[str]]:
    """The processes that live, by the version of their zone data; this process's version is always a key."""
    found: dict[str, list[str]] = {TZDATA_VERSION: []}
    alive = ZoneDataReport.objects.filter(seen_at__gt=Now() - _IS_ALIVE, ended_at=None).order_by("process")
    for process, version in alive.values_list("process", "tzdata"):
        found.setdefault(version, []).append(process)
    return found
