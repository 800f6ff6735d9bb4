"""Which runs a list holds: what the page and the API take as `status`, `job`, `tag` and `since`."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import Q, QuerySet

from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import LIVE, Run, Status

STATES = ("live", *Status.values)  # what `status` may be


def filter_runs(
    runs: QuerySet[Run],
    *,
    states: Collection[str] = (),
    job: int | None = None,
    tag: str = "",
    since: datetime | None = None,
) -> QuerySet[Run]:
    """Those of any of `states`, of the job with this id, of a job that has `tag` now, and made at `since` or later.

    What is empty filters nothing.
    """
    if states:
        wanted = {state for state in states if state != "live"} | (set(LIVE) if "live" in states else set())
        runs = runs.filter(status__in=sorted(wanted))
    if job is not None:
        runs = runs.filter(job=job)
    if tag:
        # By their ids: with a join PostgreSQL would read all jobs' runs.
        runs = runs.filter(job__in=list(Job.objects.filter(has_tag(tag)).order_by().values_list("pk", flat=True)))
    if since is not None:
        runs = runs.filter(created_at__gte=since)
    return runs


def has_tag(tag: str) -> Q:
    """Jobs with this very tag; both databases look into the list as text, where a tag stands in quotes."""
    return Q(tags__icontains=f'"{tag}"')
