"""Seals the logs of runs that ended without a reader: their host went away, or they could not be adopted.

A log that cannot be sealed is retried with growing pauses. The time of the next try is a column of the run, so that it
holds for all processes: a damaged log is not read again and again, and does not delay the others.
"""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Case, F, Q, When

from cronium_admin.core.database.clock import Now
from cronium_admin.core.errors import ApiError
from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.logs import gaps
from cronium_admin.logs.models import LogGap, LogHead
from cronium_admin.logs.store import HEAD_FIELDS, RunLog
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import UNSEALED, Run, Status

log = logging.getLogger("cronium.logs")
BATCH_SIZE = 100  # logs per call
SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(days=1)
CLAIM_DURATION = timedelta(minutes=5)  # one process reads a log at a time
# An expression instead of conditions: query planners would scan all runs of these statuses, not the unsealed ones.
_NOT_RESUMED = Q(status=Status.ERRORED, reason__in=("secret_unavailable", "log_damaged"))
_UNREAD = Case(When(Q(status=Status.LOST) | _NOT_RESUMED, then=True), default=False)


class OrphanSealer(PeriodicTask):
    """A separate thread: a log of gigabytes takes a minute to read, which must not delay claims or takeover."""

    def __init__(self, stop_event: threading.Event | None = None) -> None:
        super().__init__("log-sealer", self.run_once, SECONDS, stop_event)

    def run_once(self) -> float:
        seal_orphaned_logs(self.stop_event.is_set)
        return SECONDS


def seal_orphaned_logs(is_cancelled: Callable[[], bool] = lambda: False) -> int:
    """Any process may call this at any time. Returns the number of sealed logs.

    No line is stored for a run that has ended, so its stored log is complete; later output of its script is a gap.
    """
    unsealed = Run.objects.filter(UNSEALED).alias(is_unread=_UNREAD).filter(is_unread=True)
    never_tried = unsealed.filter(log_seal_after=None).order_by("finished_at")
    failed_before = unsealed.filter(log_seal_after__lt=Now()).order_by("log_seal_after")
    columns = ("pk", "lease_epoch", "log_seal_tries")
    due = list(never_tried.values_list(*columns)[:BATCH_SIZE])  # logs that never failed come first
    due += list(failed_before.values_list(*columns)[: BATCH_SIZE - len(due)])
    return sum(_claim_and_seal(*row) for row in due if not is_cancelled())


def _claim_and_seal(run_id: UUID, epoch: int, tries: int) -> bool:
    claim = Run.objects.filter(pk=run_id, log_seal_tries=tries, log_digest="")
    if not claim.update(log_seal_tries=F("log_seal_tries") + 1, log_seal_after=Now() + CLAIM_DURATION):
        return False
    try:
        return _seal_log(run_id, epoch)
    except ApiError as error:
        reason = error.message
    except Exception as error:
        log.exception("the log of run %s cannot be sealed", run_id, extra={"run_id": str(run_id)})
        reason = f"{type(error).__name__}: {error}"
    pause = min(FIRST_PAUSE * 2 ** min(tries, 20), LONGEST_PAUSE)
    Run.objects.filter(pk=run_id, log_seal_tries=tries + 1).update(log_seal_after=Now() + pause)
    message = "the log of run %s cannot be sealed (attempt %d, next in %s): %s"
    log.warning(message, run_id, tries + 1, pause, reason, extra={"run_id": str(run_id)})
    return False


def _seal_log(run_id: UUID, epoch: int) -> bool:
    run_log = RunLog.resume(run_id, epoch)
    write = run_log.prepare_seal(gaps.UNREAD)
    with transaction.atomic():
        if not state_machine.seal_log(run_id, run_log.totals):
            return False
        LogGap.objects.bulk_create(write.gaps, ignore_conflicts=True)
        LogHead.objects.bulk_create(
            [write.head], update_conflicts=True, unique_fields=["run"], update_fields=HEAD_FIELDS
        )
    return True
