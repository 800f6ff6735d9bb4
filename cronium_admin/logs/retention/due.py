"""Finds the logs that retention removes: logs past their maximum age, and logs of runs that are not among the last runs
of their job. Reads only."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce
from django.template.defaultfilters import pluralize

from cronium_admin.core.database.clock import Now
from cronium_admin.core.paging import filter_after
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run

PAGE_SIZE = 200


@dataclass(frozen=True)
class DueLog:
    """A log to remove or archive; `why` is part of a sentence."""

    run_id: UUID
    name: str
    lines: int
    bytes: int
    finished_at: datetime
    why: str


def find_due_logs() -> Iterator[DueLog]:
    yield from _find_by_age()
    yield from _find_by_count()


def select_kept(job_id: int | None) -> QuerySet[Run]:
    """Ended runs of one job (None: of deleted jobs) whose logs are not removed.

    The conditions are exactly those of an index of Run: with a condition on the status SQLite would scan all runs.
    """
    of_job = Run.objects.filter(job_id=job_id) if job_id else Run.objects.filter(job__isnull=True)
    return of_job.filter(finished_at__isnull=False, log_pruned_at__isnull=True)


def select_older(age: timedelta, job_id: int | None) -> QuerySet[Run]:
    return select_kept(job_id).filter(finished_at__lt=Now() - age)


def _find_by_age() -> Iterator[DueLog]:
    of_jobs = Job.objects.order_by().values_list("pk", "log_keep_days")
    of_deleted_jobs = (
        select_kept(None).filter(log_keep_days__isnull=False).order_by().values_list("job_id", "log_keep_days")
    )
    for job_id, own_days in [(None, None), *of_jobs.union(of_deleted_jobs)]:
        days = settings.CONFIG.log_keep_days if own_days is None else own_days
        if days:
            source = "CRONIUM_LOG_KEEP_DAYS" if own_days is None else "a setting of its job"
            reason = f"it ended more than {days} day{pluralize(days)} ago ({source})"
            logs = select_older(timedelta(days=days), job_id)
            yield from iterate_pages(logs if job_id else logs.filter(log_keep_days=own_days), reason)


def _find_by_count() -> Iterator[DueLog]:
    # The last runs are those that ended last: a long run must not lose its log when it ends.
    limit = Coalesce("log_keep_runs", Value(settings.CONFIG.log_keep_runs))
    jobs = Job.objects.alias(keep=limit).filter(keep__gt=0)
    for job_id, number, own_limit in list(jobs.values_list("pk", limit, "log_keep_runs")):
        runs = select_kept(job_id)
        last_kept = runs.order_by("-finished_at", "-pk").values_list("finished_at", "pk")[number - 1 : number].first()
        if last_kept:
            source = "CRONIUM_LOG_KEEP_RUNS" if own_limit is None else "a setting of its job"
            reason = f"it is not among the last {number} run{pluralize(number)} of its job ({source})"
            yield from iterate_pages(runs.filter(filter_after("finished_at", *last_kept, down=True)), reason)


def iterate_pages(runs: QuerySet[Run], reason: str) -> Iterator[DueLog]:
    columns = ("pk", "job_slug", "number", "log_head__lines", "log_head__bytes", "finished_at")
    rows = runs.filter(log_head__lines__gt=0).order_by("finished_at", "pk").values_list(*columns)
    page = list(rows[:PAGE_SIZE])
    while page:
        for pk, slug, number, lines, size, finished_at in page:
            yield DueLog(pk, f"{slug} #{number}", lines, size, finished_at, reason)
        page = (
            list(rows.filter(filter_after("finished_at", page[-1][5], page[-1][0]))[:PAGE_SIZE])
            if len(page) == PAGE_SIZE
            else []
        )
