"""How long the runs of jobs take: the median of their last successful runs."""

from collections.abc import Collection, Iterable
from functools import reduce
from operator import or_
from statistics import median
from typing import Any

from django.db.models import F, Q

from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.triggers import Trigger

MAX_RUNS = 20  # of a job
_MAX_READ = 10_000  # of all jobs, the newest
_MAX_RARE = 200  # jobs without a run among these


def measure_durations(jobs: Collection[int]) -> dict[int, float]:
    """Seconds by job; without the jobs whose last runs have no success. Two queries for any number of jobs."""
    rows = Run.objects.filter(status=Status.SUCCEEDED, started_at__isnull=False, finished_at__isnull=False)
    rows = rows.exclude(trigger=Trigger.TRY)
    columns = ("job_id", "started_at", "finished_at")
    newest = rows.order_by("-created_at", "-pk").values_list(*columns)[:_MAX_READ]
    wanted, seconds = set(jobs), dict[int, list[float]]()
    _collect(seconds, ((job, started, ended) for job, started, ended in newest if job in wanted))
    if rare := sorted(wanted - seconds.keys())[:_MAX_RARE]:
        # By number, through an index; a job without a success among its last runs stays without a duration.
        recent = rows.filter(job__in=rare, number__gt=F("job__last_run_number") - MAX_RUNS)
        _collect(seconds, recent.order_by("job_id", "-number").values_list(*columns))
    return {job: median(found) for job, found in seconds.items()}


def _collect(seconds: dict[int, list[float]], rows: Iterable[tuple[Any, ...]]) -> None:
    for job, started, ended in rows:
        found = seconds.setdefault(job, [])
        if len(found) < MAX_RUNS:
            found.append(max(0.0, (ended - started).total_seconds()))


def measure_recent(jobs: Collection[Job]) -> dict[int, float]:
    """As `measure_durations`, for a few jobs: reads only their last runs. One query; none without jobs."""
    ranges = [
        Q(job=job.pk, number__gt=job.last_run_number - MAX_RUNS) for job in {job.pk: job for job in jobs}.values()
    ]
    if not ranges:
        return {}
    rows = Run.objects.filter(status=Status.SUCCEEDED, started_at__isnull=False, finished_at__isnull=False)
    rows = rows.filter(reduce(or_, ranges)).exclude(trigger=Trigger.TRY).order_by("job_id", "-number")
    seconds: dict[int, list[float]] = {}
    _collect(seconds, rows.values_list("job_id", "started_at", "finished_at"))
    return {job: median(found) for job, found in seconds.items()}
