"""The objects that garbage collection removed last, stored in the host's row, newest first and bounded."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from cronium_admin.accounts.models import User
from cronium_admin.runs.models import Run
from cronium_admin.workers.gc.runs import is_uuid
from cronium_admin.workers.hosts.models import Host
from executor.checks.isolation import make_host_label
from executor.docker.models import EngineObject

MAX_ENTRIES = 20
MAX_NAME_CHARS = 200


def record_removed(host: str, removed: Sequence[EngineObject], removed_at: datetime) -> None:
    """Safe to repeat. Does nothing if the host has no row."""
    if not removed:
        return
    new_entries = [_make_entry(host, item, removed_at) for item in removed]
    with transaction.atomic():
        row = Host.objects.select_for_update().filter(name=host).only("reaped").first()
        if row is not None:
            older = [item for item in row.reaped if item not in new_entries]
            Host.objects.filter(pk=row.pk).update(reaped=[*new_entries, *older][:MAX_ENTRIES])


def _make_entry(host: str, item: EngineObject, removed_at: datetime) -> dict[str, str]:
    # A canary's objects have another host label, and their id is not the id of a run.
    run_id = item.run_id if item.host != make_host_label(host) and is_uuid(item.run_id) else ""
    return {"kind": item.kind, "name": item.name[:MAX_NAME_CHARS], "run_id": run_id, "at": removed_at.isoformat()}


def find_visible_runs(run_ids: set[str], user: User) -> set[str]:
    if not run_ids:
        return set()
    return {str(pk) for pk in Run.objects.visible_to(user).filter(pk__in=run_ids).values_list("pk", flat=True)}
