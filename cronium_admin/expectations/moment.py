"""The time at which the judge looks, by the database's clock, and the times at which Cronium did not run."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cronium_admin.core.database.clock import database_now
from cronium_admin.core.downtime import record_look
from cronium_admin.core.edit_versions import format_utc
from cronium_admin.expectations.models import JudgeBeat
from cronium_admin.schedules.models import Heartbeat

DOWNTIME = timedelta(minutes=2)  # without a judge: Cronium was down
SILENT = timedelta(minutes=1)  # without a tick of the schedules, while the judge works


@dataclass(frozen=True)
class Moment:
    """`previous`: when a judge looked before. `down`: the last downtime of all of Cronium.

    `unscheduled`: the last time during which no process looked at the schedules; its end is None if it lasts.
    """

    now: datetime
    previous: datetime
    down: tuple[datetime, datetime] | None = None
    unscheduled: tuple[datetime, datetime | None] | None = None

    def explain_absence(self, since: datetime, *, of_schedules: bool = False) -> str:
        """A sentence about the downtime after `since`, with a leading space; empty if there was none."""
        if self.down and self.down[1] > since:
            return f" Cronium was down from {format_utc(self.down[0])} to {format_utc(self.down[1])}."
        if not of_schedules or self.unscheduled is None:
            return ""
        start, end = self.unscheduled
        if end is None:
            return f" No process has looked at the schedules since {format_utc(start)}."
        if end > since:
            return f" No process looked at the schedules from {format_utc(start)} to {format_utc(end)}."
        return ""


def record_moment() -> Moment:
    """Records that a process judges now. Finds the last downtime of all processes."""
    before = JudgeBeat.objects.filter(pk=1).values_list("judged_at", flat=True).first()
    if not record_look(JudgeBeat.objects.filter(pk=1), "judged_at", DOWNTIME):
        JudgeBeat.objects.bulk_create([JudgeBeat(pk=1, judged_at=database_now())], ignore_conflicts=True)
    row = JudgeBeat.objects.get(pk=1)
    down = (row.down_from, row.down_until) if row.down_from and row.down_until else None
    return Moment(row.judged_at, before or row.judged_at, down, _find_unscheduled(row.judged_at))


def _find_unscheduled(now: datetime) -> tuple[datetime, datetime | None] | None:
    row = Heartbeat.objects.filter(pk=1).first()
    if row is None:
        return None
    if row.ticked_at < now - SILENT:
        return row.ticked_at, None
    return (row.down_from, row.down_until) if row.down_from and row.down_until else None
