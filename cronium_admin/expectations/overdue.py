"""Finds what is late: runs, planned times without a run, and jobs without a success.

The number of queries does not grow with the number of jobs. Deadlines that come next are returned too, so that the
judge looks again at that time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Case, Exists, Expression, F, Max, Min, OuterRef, Q, QuerySet, When
from django.db.models.functions import Coalesce

from cronium_admin.expectations.models import OPEN, Incident, Kind, Watch
from cronium_admin.expectations.moment import Moment
from cronium_admin.expectations.watches import compute_success_due
from cronium_admin.runs.models import LIVE, Run, Status
from cronium_admin.runs.retries import RETRY_TRIGGER
from cronium_admin.runs.triggers import Trigger
from cronium_admin.schedules.models import Occurrence, Schedule, State

UNSEEN = timedelta(seconds=10)  # after a longer pause of the judges, runs that started or ended in it are examined
LEDGER_ROWS = 2000  # newest rows of the ledgers that are examined
OVERLAP = timedelta(minutes=1)  # a row can be committed later than the time that it has
LONGEST_RUN = timedelta(days=7)  # from a launch to its success
MOST = 5000
NOT_LAUNCHED = (State.MISSED, State.NOT_READY)


@dataclass(frozen=True)
class Overdue:
    """`expected_from` is the planned time, the launch or the last success; `limit` the seconds from it to `due_at`."""

    job_id: int
    kind: Kind
    expected_from: datetime
    limit: int
    run_id: UUID | None = None  # of a run that has started or ended too late
    schedule_id: int | None = None  # of a planned time without a run
    reason: str = ""  # of the ledger

    @property
    def due_at(self) -> datetime:
        return self.expected_from + timedelta(seconds=self.limit)


def find_overdue(moment: Moment) -> tuple[list[Overdue], datetime | None]:
    """All that is late, and the next deadline."""
    found = [*_find_runs(moment), *_find_schedules(moment)]
    late = [each for each in found if each.due_at <= moment.now]
    coming = [each.due_at for each in found if each.due_at > moment.now]
    late += _find_not_launched(moment)
    if moment.now - moment.previous > UNSEEN:
        late += _find_unseen(moment)
    late += _find_without_success(moment)
    return late, min(coming, default=None)


def measure_from(moment: Moment) -> Expression:
    """The time from which a run's deadlines are counted: its planned time, otherwise its launch.

    A further attempt counts from the time at which it may start. A missed time that a user runs later counts from its
    launch; one that was run right after a downtime does not.
    """
    on_request = Q(trigger="catch_up")
    start, end = moment.unscheduled or (None, None)
    if start is not None and end is not None:
        on_request &= ~Q(scheduled_for__gte=start, created_at__lte=end + OVERLAP)
    launched = Coalesce("not_before", "created_at")
    is_own = on_request | Q(trigger=RETRY_TRIGGER)
    return Case(When(is_own, then=launched), default=Coalesce("not_before", "scheduled_for", "created_at"))


def list_live_runs(moment: Moment) -> "QuerySet[Any]":
    rows = Run.objects.filter(~Q(trigger=Trigger.TRY), status__in=LIVE, job__watch__isnull=False)
    rows = rows.annotate(base=measure_from(moment))
    return rows.filter(base__gte=F("job__watch__since_at")).order_by()


def _find_runs(moment: Moment) -> Iterator[Overdue]:
    """The oldest live run of each job that has not started, and that has not ended."""
    names = ("job_id", "job__watch__start_by", "job__watch__finish_by")
    oldest = list_live_runs(moment).values_list(*names)
    waiting = Min("base", filter=Q(started_at__isnull=True))
    for job_id, start_by, finish_by, unstarted, unended in oldest.annotate(waiting=waiting, live=Min("base")):
        if start_by is not None and unstarted is not None:
            yield Overdue(job_id, Kind.START_BY, unstarted, start_by)
        if finish_by is not None and unended is not None:
            yield Overdue(job_id, Kind.FINISH_BY, unended, finish_by)


def _find_schedules(moment: Moment) -> Iterator[Overdue]:
    """Schedules that were due and have not been fired: the oldest nominal time of each job."""
    due = Schedule.objects.filter(
        enabled=True,
        due_at__lt=moment.now + OVERLAP,  # that of a schedule with an error is put off
        next_at__lt=moment.now,
        job__watch__isnull=False,
        next_at__gte=F("job__watch__since_at"),
    ).order_by("next_at")
    names = ("pk", "job_id", "next_at", "job__watch__start_by", "job__watch__finish_by")
    for pk, job_id, next_at, start_by, finish_by in due.values_list(*names)[:MOST]:
        assert next_at is not None
        yield from _make_both(job_id, next_at, start_by, finish_by, schedule_id=pk)


def _find_not_launched(moment: Moment) -> Iterator[Overdue]:
    """Planned times for which no run is launched. They count at once, because nothing will start."""
    newest = Occurrence.objects.aggregate(last=Max("pk"))["last"] or 0
    rows = Occurrence.objects.filter(
        pk__gt=newest - LEDGER_ROWS,
        state__in=NOT_LAUNCHED,
        decided_at__gte=moment.previous - OVERLAP,
        schedule__job__watch__isnull=False,
        last_nominal_at__gte=F("schedule__job__watch__since_at"),
    ).order_by("-pk")
    watch = "schedule__job__watch__"
    names = ("schedule_id", "schedule__job_id", "last_nominal_at", "reason", f"{watch}start_by", f"{watch}finish_by")
    for pk, job_id, nominal, reason, start_by, finish_by in rows.values_list(*names):
        yield from _make_both(job_id, nominal, start_by, finish_by, schedule_id=pk, reason=reason or "missed")


def _find_unseen(moment: Moment) -> Iterator[Overdue]:
    """Runs that started or ended too late while no process judged."""
    changed = Q(started_at__gte=moment.previous) | Q(finished_at__gte=moment.previous)
    rows = Run.objects.filter(
        ~Q(trigger=Trigger.TRY), changed, created_at__gte=moment.previous - timedelta(days=1), job__watch__isnull=False
    ).annotate(base=measure_from(moment))
    rows = rows.filter(base__gte=F("job__watch__since_at")).order_by("created_at")
    names = ("pk", "job_id", "base", "started_at", "finished_at", "job__watch__start_by", "job__watch__finish_by")
    for pk, job_id, base, started_at, finished_at, start_by, finish_by in rows.values_list(*names)[:MOST]:
        for kind, at, limit in ((Kind.START_BY, started_at, start_by), (Kind.FINISH_BY, finished_at, finish_by)):
            if limit is not None and at is not None and at > base + timedelta(seconds=limit):
                yield Overdue(job_id, kind, base, limit, run_id=pk)


def _find_without_success(moment: Moment) -> Iterator[Overdue]:
    is_open = Incident.objects.filter(OPEN, job=OuterRef("job_id"), kind=Kind.SUCCEED_EVERY)
    for watch in Watch.objects.filter(~Exists(is_open), success_due_at__lte=moment.now).order_by("success_due_at"):
        base = find_success_after(watch.job_id, watch.success_base_at) or watch.success_base_at
        due = compute_success_due(base, watch.succeed_every, watch.succeed_grace)
        if base != watch.success_base_at:
            rows = Watch.objects.filter(pk=watch.pk, success_base_at=watch.success_base_at)
            rows.update(success_base_at=base, success_due_at=due)
        if due is not None and due <= moment.now and watch.succeed_every is not None:
            limit = watch.succeed_every + (watch.succeed_grace or 0)
            yield Overdue(watch.job_id, Kind.SUCCEED_EVERY, base, limit)


def find_success_after(job_id: int, base: datetime) -> datetime | None:
    """The end of the last successful run that ended after `base`."""
    rows = Run.objects.filter(
        ~Q(trigger=Trigger.TRY),
        job=job_id,
        status=Status.SUCCEEDED,
        finished_at__gt=base,
        created_at__gte=base - LONGEST_RUN,
    )
    return rows.order_by("-finished_at").values_list("finished_at", flat=True).first()


def _make_both(
    job_id: int, base: datetime, start_by: int | None, finish_by: int | None, **of_schedule: Any
) -> Iterator[Overdue]:
    for kind, limit in ((Kind.START_BY, start_by), (Kind.FINISH_BY, finish_by)):
        if limit is not None:
            yield Overdue(job_id, kind, base, limit, **of_schedule)
