"""Attempts of a run: queues the next one in the transaction that ends the one before.

All attempts of a group name the first in `retry_of`; the database allows each number once per group.
"""

import logging
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.database.outage import find_outage
from cronium_admin.core.errors import ApiError, collect_field_errors, summarize_fields
from cronium_admin.jobs.retry import STATUSES, compute_delay, is_retried
from cronium_admin.runs import events
from cronium_admin.runs.launch import Origin, create_queued_run
from cronium_admin.runs.models import Run
from cronium_admin.runs.rerun import build_rerun
from cronium_admin.runs.triggers import Trigger

log = logging.getLogger("cronium.runs")
RETRY_TRIGGER = Trigger.RETRY.value


def create_next_attempt(run_id: UUID, status: str) -> None:
    """Queues the attempt after `run_id`, which has just ended with `status`, if its job says so.

    Call it in the transaction of the end: both are committed, or neither. A refused retry never prevents the end.
    """
    if status not in STATUSES:
        return
    related = ("job__profile", "revision", "created_by")
    run = Run.objects.select_related(*related).filter(pk=run_id, retry__isnull=False).first()
    if run is None or run.cancel_requested_at is not None:
        return
    try:
        with transaction.atomic():
            problem = _find_problem(run)
            if not problem:
                _insert_attempt(run)
    except (ApiError, ValidationError) as error:
        problem = error.message if isinstance(error, ApiError) else summarize_fields(collect_field_errors(error))
    except Exception as error:
        if find_outage(error):
            raise
        log.exception("the next attempt of the run %s could not be queued", run_id)
        problem = "an error of Cronium; its log has the details"
    if problem:
        events.record_event(run.pk, "not_retried", f"No further attempt: {problem}.".replace("..", "."))


def _find_problem(run: Run) -> str:
    """Why no attempt follows; empty if one does."""
    job, by = run.job, run.created_by
    if not is_retried(run.retry, run.status, run.reason, run.exit_code):
        code = f" with exit code {run.exit_code}" if run.reason == "exit_code" else ""
        return f"the job is not retried after {run.get_status_display().lower()}{code}"
    if run.attempt >= run.max_attempts:
        return f"this was attempt {run.attempt} of {run.max_attempts}"
    if job is None:
        return "the job was deleted"
    if not job.enabled:
        return "the job is disabled"
    if by is None and not run.caused_by:
        return "the user who launched the run was deleted"
    if by is not None and not (by.is_active and can(by, Permission.RUN, job)):
        return f"{by.get_username()} may not run this job any more"
    until = compute_deadline(run)
    if until is not None and compute_start(run) >= until:
        return f"it would start after the total time of {run.retry['total_seconds']} s"
    return ""


def compute_start(run: Run) -> datetime:
    """When the attempt after `run` may start."""
    assert run.finished_at is not None
    return run.finished_at + compute_delay(run.retry, run.attempt, str(run.group_id))


def compute_deadline(run: Run) -> datetime | None:
    """No attempt of the group starts at this time or later; None: no such time."""
    if run.retry_until is not None or run.retry["total_seconds"] is None:
        return run.retry_until
    return max(run.created_at, run.not_before or run.created_at) + timedelta(seconds=run.retry["total_seconds"])


def _insert_attempt(run: Run) -> None:
    repeat = build_rerun(run, run.created_by)
    start = compute_start(run)
    values: dict[str, Any] = repeat.values | {
        "attempt": run.attempt + 1,
        "retry_of_id": run.group_id,
        "retry_until": compute_deadline(run),
        "not_before": start if start != run.finished_at else None,
    }
    origin = Origin(
        trigger=RETRY_TRIGGER,
        caused_by=run.caused_by or f"run:{run.group_id}",
        text=f"attempt {run.attempt + 1} of {run.max_attempts}, after run #{run.number}",
        scheduled_for=run.scheduled_for,
        serial_key=run.serial_key,
    )
    create_queued_run(run.job, run.created_by, values, origin, parent=run, notes=repeat.notes)
