"""Starts of the installation, for schedules with the rule @reboot.

The installation starts when a process starts while no other process is alive. A process is alive from its registration
until its end, or until its last report if it was killed. So a process that starts after a crash waits until the reports
of the others are old enough; after a clean stop it decides at once. Processes register one after the other, so of those
that start together the first one starts the installation.
"""

import logging
from datetime import datetime, timedelta
from time import monotonic

from django.db import transaction
from django.db.models import F, Q

from cron_rules.zones import TZDATA_VERSION
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.schedules.models import Heartbeat, InstallationStart, Kind, Schedule, ZoneDataReport
from cronium_admin.schedules.zone_reports import report_zone_data

log = logging.getLogger("cronium.schedules")
REPORT_SECONDS = 15.0
DEAD_SECONDS = 40.0  # a process without a report for so long was killed
KEPT_STARTS = 1000
START_RULE = Q(kind=Kind.CRON, rule__iexact="@reboot")


class StartWatch:
    """Of one process: reports that it is alive, and decides once whether its start is one of the installation."""

    def __init__(self, process: str) -> None:
        self.process = process
        self._report_at = 0.0
        self._is_registered = self._is_decided = False

    def take_turn(self) -> None:
        if not self._is_registered:
            register_process(self.process)
            self._is_registered = True
            self._report_at = monotonic() + REPORT_SECONDS
        self.report()
        if not self._is_decided:
            decided = decide_start(self.process)
            self._is_decided = decided is not None
            if decided is False:
                log.info("the installation was running when this process started")

    def report(self) -> None:
        if self._is_registered and monotonic() >= self._report_at:
            report_zone_data(self.process)
            self._report_at = monotonic() + REPORT_SECONDS

    def end(self) -> None:
        ZoneDataReport.objects.filter(pk=self.process).update(ended_at=Now())


def register_process(process: str) -> None:
    """Stores when the process started. Transactions of several processes take turns, so that each sees the earlier."""
    with transaction.atomic():
        if not _lock_heartbeat():
            Heartbeat.objects.bulk_create([Heartbeat(pk=1, ticked_at=database_now())], ignore_conflicts=True)
            _lock_heartbeat()
        values = {"tzdata": TZDATA_VERSION, "seen_at": Now(), "started_at": Now()}
        ZoneDataReport.objects.create(process=process, **values)
        ZoneDataReport.objects.filter(seen_at__lt=Now() - timedelta(days=1)).delete()


def _lock_heartbeat() -> int:
    return Heartbeat.objects.filter(pk=1).update(ticked_at=F("ticked_at"))


def decide_start(process: str) -> bool | None:
    """Whether the start of the process is one of the installation, which it then records. None: not known yet."""
    own = ZoneDataReport.objects.filter(pk=process).first()
    if own is None or own.started_at is None:  # it stood still for a day
        return False
    began = own.started_at
    is_earlier = Q(started_at=None) | Q(started_at__lt=began) | Q(started_at=began, process__lt=process)
    earlier = ZoneDataReport.objects.exclude(pk=process).filter(is_earlier)
    is_alive = Q(ended_at__gt=began) | Q(ended_at=None, seen_at__gt=began)
    if earlier.filter(is_alive).exists():
        return False
    if earlier.filter(ended_at=None, seen_at__gt=Now() - timedelta(seconds=DEAD_SECONDS)).exists():
        return None
    record_start(began.replace(microsecond=0))
    return True


def record_start(at: datetime) -> None:
    """One start for each second. Schedules that start with the installation become due."""
    with transaction.atomic():
        if not InstallationStart.objects.get_or_create(at=at)[1]:
            return
        waiting = Schedule.objects.filter(START_RULE, enabled=True, cursor_at__lt=at)
        waiting = waiting.filter(Q(due_at=None) | Q(due_at__gt=at)).order_by("pk")
        ids = list(waiting.select_for_update(of=("self",), no_key=True).values_list("pk", flat=True))
        count = Schedule.objects.filter(pk__in=ids).update(due_at=at)
        oldest = InstallationStart.objects.order_by("-at").values_list("at", flat=True)[KEPT_STARTS : KEPT_STARTS + 1]
        for bound in list(oldest):
            InstallationStart.objects.filter(at__lte=bound).delete()
    log.info("the installation started at %s; %d schedules run because of it", at, count)


def list_starts(after: datetime) -> list[datetime]:
    """Ascending; the newest KEPT_STARTS."""
    return list(InstallationStart.objects.filter(at__gt=after).order_by("at").values_list("at", flat=True))
