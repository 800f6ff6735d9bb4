"""Locks rows in the order that all transactions keep; see "Locks" in docs/reliability.md.

A schedule, then its job, then runs in the order of their ids, then what belongs to them, the health of jobs last. On
SQLite, which has one writer at a time, these functions do nothing.
"""

from collections.abc import Collection
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import JobHealth, Run


def lock_job(job_id: int) -> None:
    if connection.features.has_select_for_update:
        list(Job.objects.filter(pk=job_id).order_by().select_for_update(no_key=True).values_list("pk"))


def lock_job_of_retried(run_id: UUID) -> None:
    """Locks the job of a run whose end may queue another attempt. Call it before the run's row is locked."""
    if connection.features.has_select_for_update:
        jobs = Job.objects.filter(runs=run_id, runs__retry__isnull=False).order_by()
        list(jobs.select_for_update(of=("self",), no_key=True).values_list("pk"))


def lock_runs(runs: "QuerySet[Run]") -> None:
    """Locks several runs. Lock their job first, if the same transaction needs it."""
    if connection.features.has_select_for_update:
        list(runs.order_by("pk").select_for_update(of=("self",), no_key=True).values_list("pk"))


def lock_health_of_runs(run_ids: Collection[UUID]) -> None:
    """Locks the rows of health that name these runs, which are about to be deleted. Lock the runs first."""
    if connection.features.has_select_for_update:
        rows = JobHealth.objects.filter(Q(last_run__in=run_ids) | Q(last_good__in=run_ids)).order_by("pk")
        list(rows.select_for_update(no_key=True).values_list("pk"))
