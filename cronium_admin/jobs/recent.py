"""The last runs of many jobs at once, for the list and its sparklines. Reads runs, changes nothing."""

from collections.abc import Iterable
from typing import Any

from django.db.models import F, OuterRef, Subquery

from cronium_admin.jobs.models import Job

SHOWN = 20
_COLUMNS = ("pk", "job_id", "number", "status", "cancel_requested_at", "created_at", "started_at", "finished_at")


def recent_runs(jobs: Iterable[Job]) -> dict[int, list[Any]]:
    """The last runs of each job, oldest first, in one query whose cost does not grow with the history.

    A job's last twenty are found by number, through an index. Where all of these were deleted, its last run that is
    left stands alone.
    """
    found: dict[int, list[Any]] = {job.pk: [] for job in jobs}
    # The room of runs is above this one: its model is reached through the relation it made.
    runs: Any = Job._meta.get_field("runs").related_model
    last = runs.objects.filter(job__in=found, number__gt=F("job__last_run_number") - SHOWN)
    for run in last.order_by("job_id", "number").only(*_COLUMNS):
        found[run.job_id].append(run)
    bare = [pk for pk, shown in found.items() if not shown]
    for run in _last_left(runs, bare) if bare else ():
        found[run.job_id].append(run)
    return found


def _last_left(runs: Any, jobs: list[int]) -> Any:
    """The last run of each of the jobs, whatever its number."""
    newest = runs.objects.filter(job=OuterRef("pk")).order_by("-number").values("pk")[:1]
    numbered = Job.objects.filter(pk__in=jobs, last_run_number__gt=SHOWN).annotate(last=Subquery(newest))
    return runs.objects.filter(pk__in=list(filter(None, numbered.values_list("last", flat=True)))).only(*_COLUMNS)
