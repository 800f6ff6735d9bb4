"""Seals the logs of runs that ended with nobody to read on: their host went away, or they could not be adopted."""

import logging
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from cronium_admin.errors import Refused
from cronium_admin.logs import gaps
from cronium_admin.logs.models import LogGap, LogHead
from cronium_admin.logs.store import HEAD_FIELDS, RunLog
from cronium_admin.runs import transitions
from cronium_admin.runs.models import Run, Status

log = logging.getLogger("cronium.logs")


def seal_unread() -> int:
    """For anybody, as often as they like; returns how many were sealed.

    A run that has ended takes no more lines, so what is stored now is all there will be; what its script wrote after
    that is a gap.
    """
    begun = Run.objects.exclude(started_at=None).filter(log_digest="", log_pruned_at=None)
    unsealed = begun.filter(Q(status=Status.LOST) | Q(status=Status.ERRORED, reason="secret_unavailable"))
    return sum(_seal(run_id, epoch) for run_id, epoch in unsealed.values_list("pk", "lease_epoch")[:100])


def _seal(run_id: UUID, epoch: int) -> bool:
    try:
        run_log = RunLog.resume(run_id, epoch)
    except Refused as error:  # it is damaged, and stays without a seal; the others must not wait for it
        log.warning("the log of run %s can't be sealed: %s", run_id, error.message, extra={"run_id": str(run_id)})
        return False
    write = run_log.seal(gaps.UNREAD)
    with transaction.atomic():
        if not transitions.seal_log(run_id, run_log.facts):
            return False
        LogGap.objects.bulk_create(write.gaps, ignore_conflicts=True)
        LogHead.objects.bulk_create(
            [write.head], update_conflicts=True, unique_fields=["run"], update_fields=HEAD_FIELDS
        )
    return True
