"""Finds the runs that retention deletes: those over the age limit, and those that are not among their job's last. Only
reads."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet

from cronium_admin.core.database.clock import Now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import TERMINAL, Run


@dataclass(frozen=True)
class DueRuns:
    """Runs of one job that one rule expires, the oldest first; `reason` is part of a sentence."""

    job: str
    reason: str
    runs: QuerySet[Run]


def find_due_runs() -> Iterator[DueRuns]:
    # Every query uses an index of the job's runs, so it does not slow down with the history.
    config = settings.CONFIG
    yield from _find_due_of_deleted_jobs(config.run_keep_days)
    for pk, slug, days, number in Job.objects.values_list("pk", "slug", "run_keep_days", "run_keep_runs"):
        if keep := config.run_keep_days if days is None else days:
            yield _select_by_age(pk, slug, keep, "CRONIUM_RUN_KEEP_DAYS" if days is None else "a setting of the job")
        keep = config.run_keep_runs if number is None else number
        source = "CRONIUM_RUN_KEEP_RUNS" if number is None else "a setting of the job"
        if keep and (due := _select_by_number(pk, slug, keep, source)):
            yield due


def _find_due_of_deleted_jobs(default: int) -> Iterator[DueRuns]:
    # The runs of a deleted job keep the job's own retention.
    own_retention = Run.objects.filter(job__isnull=True, run_keep_days__isnull=False).order_by()
    for days in (None, *own_retention.values_list("run_keep_days", flat=True).distinct()):
        if keep := default if days is None else days:
            source = "CRONIUM_RUN_KEEP_DAYS" if days is None else "a setting of the job"
            due = _select_by_age(None, "deleted jobs", keep, source)
            yield replace(due, runs=due.runs.filter(run_keep_days=days))


def _filter_ended(job_id: int | None) -> QuerySet[Run]:
    of_job = Run.objects.filter(job_id=job_id) if job_id else Run.objects.filter(job__isnull=True)
    return of_job.filter(finished_at__isnull=False, status__in=TERMINAL)


def _exclude_young_keys(runs: QuerySet[Run]) -> QuerySet[Run]:
    # A repeated request returns the run of its idempotency key. Keys that never expire keep no run.
    if not (days := settings.CONFIG.idempotency_keep_days):
        return runs
    return runs.exclude(idempotency_key__isnull=False, created_at__gte=Now() - timedelta(days=days))


def _select_by_age(job_id: int | None, job: str, days: int, source: str) -> DueRuns:
    # `created_at` is never later than the end, and has the index.
    before = Now() - timedelta(days=days)
    runs = _filter_ended(job_id).filter(created_at__lt=before, finished_at__lt=before).order_by("created_at", "id")
    return DueRuns(job, f"ended more than {days} days ago ({source})", _exclude_young_keys(runs))


def _select_by_number(job_id: int, job: str, keep: int, source: str) -> DueRuns | None:
    # A long run that ended after the oldest kept run stays, so that it is not deleted the moment it ends.
    newest = _filter_ended(job_id).order_by("-number").values_list("number", "finished_at")
    oldest_kept = newest[keep - 1 : keep].first()
    if oldest_kept is None:
        return None
    number, finished_at = oldest_kept
    runs = _filter_ended(job_id).filter(number__lt=number, finished_at__lte=finished_at).order_by("number")
    return DueRuns(job, f"not among the last {keep} of the job ({source})", _exclude_young_keys(runs))
