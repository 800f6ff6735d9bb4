"""Filters of lists of runs: `status`, `trigger`, `job`, `tag` and `since` of the page and the API."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import QuerySet

from cronium_admin.jobs.job_search import has_tag
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import LIVE, Run, Status

STATES = ("live", *Status.values)  # the values of `status`


def filter_runs(
    runs: QuerySet[Run],
    *,
    states: Collection[str] = (),
    triggers: Collection[str] = (),
    job: int | None = None,
    tag: str = "",
    since: datetime | None = None,
) -> QuerySet[Run]:
    """Runs in any of `states`, launched by any of `triggers`, of the job with this id, of jobs that have `tag` now,
    created at `since` or later.

    An empty argument does not filter.
    """
    if states:
        statuses = {state for state in states if state != "live"} | (set(LIVE) if "live" in states else set())
        runs = runs.filter(status__in=sorted(statuses))
    if triggers:
        runs = runs.filter(trigger__in=sorted(set(triggers)))
    if job is not None:
        runs = runs.filter(job=job)
    if tag:
        # By ids: with a join PostgreSQL would read the runs of all jobs.
        runs = runs.filter(job__in=list(Job.objects.filter(has_tag(tag)).order_by().values_list("pk", flat=True)))
    if since is not None:
        runs = runs.filter(created_at__gte=since)
    return runs
