"""What the reaper removed of a host last: the host's row keeps it, newest first and bounded."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from cronium_admin.runs.models import Run
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.takeover import is_uuid
from executor.checks.isolation import make_host_label
from executor.docker.models import EngineObject

MAX_ENTRIES = 20
MAX_NAME_CHARS = 200


def record_removed(host: str, gone: Sequence[EngineObject], at: datetime) -> None:
    """Add what was removed at `at`. May be repeated; a host that has no row gets none for this."""
    if not gone:
        return
    new = [_make_entry(host, one, at) for one in gone]
    with transaction.atomic():
        row = Host.objects.select_for_update().filter(name=host).only("reaped").first()
        if row is not None:
            known = [one for one in row.reaped if one not in new]
            Host.objects.filter(pk=row.pk).update(reaped=[*new, *known][:MAX_ENTRIES])


def _make_entry(host: str, one: EngineObject, at: datetime) -> dict[str, str]:
    """A canary's things are labelled with another host, and there is no run of their id."""
    run_id = one.run_id if one.host != make_host_label(host) and is_uuid(one.run_id) else ""
    return {"kind": one.kind, "name": one.name[:MAX_NAME_CHARS], "run_id": run_id, "at": at.isoformat()}


def find_existing_runs(run_ids: set[str]) -> set[str]:
    """Those of the runs that can be looked at: a run's things may outlive its row."""
    if not run_ids:
        return set()
    return {str(pk) for pk in Run.objects.filter(pk__in=run_ids).values_list("pk", flat=True)}
