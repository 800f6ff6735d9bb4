"""The database side of garbage collection: which runs' objects must stay, which are leftover, and which runs are
cleaned."""

from collections.abc import Set
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from cronium_admin.core.database.clock import Now
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import ON_HOST, TERMINAL, Run
from cronium_admin.runtime_api import handlers as runtime
from cronium_admin.warm import rows as warm
from cronium_admin.workers import lease
from executor.checks.isolation import is_canary_host

GC_GRACE = timedelta(seconds=10)  # the process that ended a run may still be removing its objects


def find_still_active(host: str, run_ids: Set[str]) -> set[str]:
    """The runs whose objects on `host` must stay: active runs of this host, runs that ended a moment ago, and waiting
    sandboxes of its present leader."""
    uuids = [run_id for run_id in run_ids if is_uuid(run_id)]
    kept = Q(status__in=ON_HOST, host=host) | Q(finished_at__gt=Now() - GC_GRACE)
    active = {str(pk) for pk in Run.objects.filter(kept, pk__in=uuids).values_list("pk", flat=True)}
    return active | {str(pk) for pk in warm.find_living(host, [UUID(run_id) for run_id in uuids])}


def find_orphaned_elsewhere(labels: Set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The (host, run id) whose run has ended or was deleted and whose host has no leader, as after a host was renamed.

    A canary has no run and is never orphaned.
    """
    labels = {(host, run_id) for host, run_id in labels if is_uuid(run_id) and not is_canary_host(host)}
    run_ids = {run_id for _, run_id in labels}
    kept = Run.objects.filter(pk__in=run_ids).exclude(status__in=TERMINAL, finished_at__lt=Now() - GC_GRACE)
    ended = run_ids - {str(pk) for pk in kept.values_list("pk", flat=True)}
    led_hosts = lease.list_led_hosts()
    return {(host, run_id) for host, run_id in labels if run_id in ended and host not in led_hosts}


def mark_cleaned_runs(host: str, removed: Set[str], left: Set[str], lookback: timedelta | None) -> None:
    """Mark ended runs without objects on the engine: the runs in `removed`, and all runs of `host` except those in
    `left`. Runs of `host` that ended longer than `lookback` ago are skipped, if it is given."""
    ended = Run.objects.filter(cleaned_at=None, finished_at__isnull=False, finished_at__lt=Now() - GC_GRACE)
    own = Q(host=host)
    if lookback is not None:
        own &= Q(finished_at__gt=Now() - lookback)
    removed_here = Q(pk__in=[run_id for run_id in removed if is_uuid(run_id)])
    for run_id in ended.filter(own | removed_here).values_list("pk", flat=True):
        if str(run_id) not in left:
            mark_cleaned(run_id)


def mark_cleaned(run_id: UUID, **facts: Any) -> None:
    """Mark an ended run whose objects are removed, and delete its runtime API receipts. Ignores other runs."""
    with transaction.atomic():
        if state_machine.mark_cleaned(run_id, **facts):
            runtime.delete_receipts(run_id)


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
