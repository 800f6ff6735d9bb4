"""The last runs of many jobs at once, for the list and its sparklines. Reads runs, changes nothing."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import OuterRef, Q, Subquery

from cronium_admin.jobs.models import Job

MAX_RUNS = 20
JOBS_PER_QUERY = 200  # SQLite bounds the depth of an expression
_COLUMNS = ("pk", "job_id", "number", "status", "cancel_requested_at", "created_at", "started_at", "finished_at")


def fetch_recent_runs(jobs: Iterable[Job]) -> dict[int, list[Any]]:
    """The last runs of each job, oldest first, in one query whose cost does not grow with the history.

    A job's last twenty are found by number, through an index. Where all of these were deleted, its last run that is
    left stands alone.
    """
    jobs = list(jobs)
    found: dict[int, list[Any]] = {job.pk: [] for job in jobs}
    # The room of runs is above this one: its model is reached through the relation it made.
    runs: Any = Job._meta.get_field("runs").related_model
    for ranges in _build_ranges(jobs):
        for run in runs.objects.filter(ranges).order_by("job_id", "number").only(*_COLUMNS):
            found[run.job_id].append(run)
    bare = [job.pk for job in jobs if not found[job.pk] and job.last_run_number > MAX_RUNS]
    for run in _fetch_last_remaining(runs, bare) if bare else ():
        found[run.job_id].append(run)
    return found


def _build_ranges(jobs: list[Job]) -> Iterator[Q]:
    """A range of the index of numbers for each job, AT_ONCE in a query: with a join to the counters PostgreSQL would
    read all runs."""
    for first in range(0, len(jobs), JOBS_PER_QUERY):
        ranges = Q()
        for job in jobs[first : first + JOBS_PER_QUERY]:
            ranges |= Q(job=job.pk, number__gt=job.last_run_number - MAX_RUNS)
        yield ranges


def _fetch_last_remaining(runs: Any, jobs: list[int]) -> Any:
    """The last run of each of the jobs, whatever its number."""
    newest = runs.objects.filter(job=OuterRef("pk")).order_by("-number").values("pk")[:1]
    last = Job.objects.filter(pk__in=jobs).annotate(last=Subquery(newest)).values_list("last", flat=True)
    return runs.objects.filter(pk__in=list(filter(None, last))).only(*_COLUMNS)
