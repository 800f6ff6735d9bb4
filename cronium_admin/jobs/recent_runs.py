"""Reads the last runs and the open incidents of many jobs at once, for the list and its sparklines."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import OuterRef, Q, Subquery

from cronium_admin.jobs.models import Job

MAX_RUNS = 20
TRY = "try"  # the trigger of runs of unsaved text, which say nothing about the job
JOBS_PER_QUERY = 200  # SQLite limits the depth of an expression
_OF_HEALTH = ("last_status", "last_ended_at", "failures", "failing_since", "last_good_at")
_OF_LAST_RUN = ("number", "job_revision", "status", "reason", "message", "error")
_OF_LAST_GOOD = ("number", "job_revision")
_LIVE = ("queued", "starting", "running")


class RecentRun(NamedTuple):
    """What a list shows of a run: a page reads a thousand of them, and a tuple costs a third of a model's instance."""

    pk: UUID
    job_id: int
    number: int
    status: str
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    not_before: datetime | None = None

    @property
    def is_live(self) -> bool:
        return self.status in _LIVE

    @property
    def began_at(self) -> datetime:
        return self.started_at or self.created_at


def fetch_recent_runs(jobs: Iterable[Job]) -> dict[int, list[RecentRun]]:
    """The last MAX_RUNS runs of each job, oldest first, without tries. The cost does not grow with the stored runs.

    The runs are found by number, through an index. If all of these were deleted, the last remaining run is returned.
    """
    jobs = list(jobs)
    recent: dict[int, list[RecentRun]] = {job.pk: [] for job in jobs}
    # `runs` is a higher layer, so its model is reached through the relation.
    runs: Any = Job._meta.get_field("runs").related_model
    for ranges in _build_ranges(jobs):
        rows = runs.objects.filter(ranges).exclude(trigger=TRY).order_by("job_id", "number")
        for run in map(RecentRun._make, rows.values_list(*RecentRun._fields)):
            recent[run.job_id].append(run)
    empty = [job.pk for job in jobs if not recent[job.pk] and job.last_run_number > MAX_RUNS]
    for run in _fetch_last_remaining(runs, empty) if empty else ():
        recent[run.job_id].append(run)
    return recent


def _build_ranges(jobs: list[Job]) -> Iterator[Q]:
    # One range of run numbers per job, JOBS_PER_QUERY in a query. A join to the jobs' counters would make PostgreSQL
    # read all runs.
    for first in range(0, len(jobs), JOBS_PER_QUERY):
        group = jobs[first : first + JOBS_PER_QUERY]
        ranges = Q(job__in=[job.pk for job in group if job.last_run_number <= MAX_RUNS])
        for job in group:
            if job.last_run_number > MAX_RUNS:
                ranges |= Q(job=job.pk, number__gt=job.last_run_number - MAX_RUNS)
        yield ranges


def _fetch_last_remaining(runs: Any, jobs: list[int]) -> Iterator[RecentRun]:
    newest = runs.objects.filter(job=OuterRef("pk")).exclude(trigger=TRY).order_by("-number").values("pk")[:1]
    last = Job.objects.filter(pk__in=jobs).annotate(last=Subquery(newest)).values_list("last", flat=True)
    rows = runs.objects.filter(pk__in=list(filter(None, last)))
    return map(RecentRun._make, rows.values_list(*RecentRun._fields))


def fetch_failed_runs(recent: Mapping[int, list[RecentRun]]) -> dict[int, Any]:
    """By job: the last ended run, with what says why it failed, if it failed."""
    last = {job: next((run for run in reversed(runs) if _is_counted(run)), None) for job, runs in recent.items()}
    failed = [run.pk for run in last.values() if run is not None and run.status != "succeeded"]
    if not failed:
        return {}
    runs: Any = Job._meta.get_field("runs").related_model
    rows = runs.objects.filter(pk__in=failed).only(*RecentRun._fields, "error", "reason", "message")
    return {run.job_id: run for run in rows}


def _is_counted(run: RecentRun) -> bool:
    return run.finished_at is not None and run.status != "cancelled"


def find_health(job: Job) -> Any:
    """The JobHealth of the job, with what its page shows of the last run and the last success.

    None: no run has ended in a way that counts.
    """
    health: Any = Job._meta.get_field("health").related_model
    of_runs = (*(f"last_run__{name}" for name in _OF_LAST_RUN), *(f"last_good__{name}" for name in _OF_LAST_GOOD))
    rows = health.objects.select_related("last_run", "last_good").only(*_OF_HEALTH, *of_runs)
    return rows.filter(job=job.pk).first()


def find_late_jobs(jobs: Iterable[Job]) -> dict[int, str]:
    """The jobs with an open incident, and the words of their incidents."""
    # `expectations` is a higher layer, as that of the runs.
    incidents: Any = Job._meta.get_field("incidents").related_model
    rows = incidents.objects.filter(job__in=[job.pk for job in jobs], closed_at__isnull=True)
    late: dict[int, list[str]] = {}
    for incident in rows.only("job_id", "kind").order_by("kind"):
        late.setdefault(incident.job_id, []).append(incident.get_kind_display())
    return {job_id: ", ".join(words) for job_id, words in late.items()}
