"""Answers what a script asks of the runtime API through its sidecar. The run's id is the caller's proof:
a request comes over the control channel of that run's own sidecar, and over nothing else."""

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models.functions import Now

from cronium_admin.jobs.rules import validate_json
from cronium_admin.runs import live
from cronium_admin.runs.models import Run, Status
from executor.spec import MB, Reply

MAX_OUTPUT_BYTES = 5 * MB


def answer(run_id: UUID, operation: str, body: Any) -> Reply:
    """The reply to one request; an unknown operation is a 404, a run that has ended a 403."""
    if operation == "output":
        return _set_output(run_id, body)
    return Reply(status=404, error="NOT_FOUND", message=f"There is no operation {operation[:40]!r}.")


def _set_output(run_id: UUID, body: Any) -> Reply:
    """Keep any JSON value as the run's output; the last one given counts."""
    if not isinstance(body, dict) or "output" not in body:
        return Reply(status=400, error="BAD_REQUEST", message='Send the output as {"output": VALUE}.')
    output = body["output"]
    try:
        validate_json(output, "The output", MAX_OUTPUT_BYTES)
    except ValidationError as error:
        too_large = error.code == "too_large"
        status, code = (413, "TOO_LARGE") if too_large else (400, "BAD_REQUEST")
        return Reply(status=status, error=code, message=error.messages[0])
    changed = Run.objects.filter(pk=run_id, status=Status.RUNNING).update(output=output, output_at=Now())
    if not changed:
        return Reply(status=403, error="RUN_ENDED", message="The run has ended.")
    live.nudge([run_id])
    return Reply()


def context(run: Run) -> dict[str, Any]:
    """The facts about a run and its job that `cronium.event()` gives."""
    by = run.created_by
    return {
        "run_id": str(run.pk),
        "number": run.number,
        "trigger": run.trigger,
        "created_at": run.created_at.isoformat(),
        "created_by": by.get_username() if by else None,
        "parent_run_id": str(run.parent_id) if run.parent_id else None,
        "job": {"slug": run.job_slug, "name": run.job_name, "revision": run.job_revision},
        "language": run.language,
        "image": run.image,
        "profile": run.profile_name,
        "limits": {"cpu": float(run.cpu), "memory_mb": run.memory_mb, "pids": run.pids},
        "timeout_seconds": run.timeout_seconds,
        "network": run.network,
    }
