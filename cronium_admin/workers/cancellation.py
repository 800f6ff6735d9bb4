"""Stops the active runs of this host whose cancel flag is set."""

from uuid import UUID

from cronium_admin.runs.models import ON_HOST, Run
from cronium_admin.workers.context import HostContext


def stop_cancelled_runs(context: HostContext) -> None:
    for run_id in context.database.call(_find_cancelled, context.owner):
        context.supervisor.stop(str(run_id))


def _find_cancelled(owner: str) -> list[UUID]:
    flagged = Run.objects.filter(status__in=ON_HOST, lease_owner=owner, cancel_requested_at__isnull=False)
    return list(flagged.values_list("pk", flat=True))
