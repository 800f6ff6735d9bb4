"""The last runs of many jobs at once, for the list and its sparklines. Reads runs, changes nothing."""

from collections.abc import Iterable
from typing import Any

from django.db.models import F

from cronium_admin.jobs.models import Job

SHOWN = 20
_COLUMNS = ("pk", "job_id", "number", "status", "cancel_requested_at", "created_at", "started_at", "finished_at")


def recent_runs(jobs: Iterable[Job]) -> dict[int, list[Any]]:
    """The last runs of each job, oldest first, in one query whose cost does not grow with the history.

    A job's runs are numbered without holes, so its last twenty are found by number, through an index.
    """
    found: dict[int, list[Any]] = {job.pk: [] for job in jobs}
    # The room of runs is above this one: its model is reached through the relation it made.
    runs: Any = Job._meta.get_field("runs").related_model
    last = runs.objects.filter(job__in=found, number__gt=F("job__last_run_number") - SHOWN)
    for run in last.order_by("job_id", "number").only(*_COLUMNS):
        found[run.job_id].append(run)
    return found
