"""The attempts of a run's group, for its page and the API."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.presentation.reasons import describe_reason
from cronium_admin.runs.retries import RETRY_TRIGGER


@dataclass(frozen=True)
class Attempt:
    """`is_shown`: the page shows this run. `is_waiting`: it has not started."""

    run: Run
    reason: str
    is_shown: bool
    is_waiting: bool


def list_attempts(run: Run) -> list[Attempt]:
    """In order; empty for a run without other attempts."""
    if run.retry is None and run.retry_of_id is None:
        return []
    group = Run.objects.filter(Q(pk=run.group_id) | Q(retry_of=run.group_id)).order_by("attempt")
    runs = list(group.only(*("number", "attempt", "status", "reason", "exit_code", "not_before", "job_slug")))
    runs = [run if other.pk == run.pk else other for other in runs]
    return [_describe(other, run) for other in runs] if len(runs) > 1 else []


def _describe(run: Run, shown: Run) -> Attempt:
    reason = describe_reason(run.reason) or (f"exit code {run.exit_code}" if run.exit_code else "")
    return Attempt(run, reason, run.pk == shown.pk, run.status == Status.QUEUED)


def list_reruns(run: Run) -> QuerySet[Run]:
    reruns = run.reruns.exclude(trigger=RETRY_TRIGGER)
    # Without `parent` each row would read it with a query of its own.
    return reruns.only("pk", "parent", "number", "status", "job_slug").order_by("number")[:10]
