"""Seals the logs of runs that ended with nobody to read on: their host went away, or they could not be adopted.

A log that can't be sealed is tried again later and later. When is a column of its run, so that it holds for all
processes: they do not read a damaged log again and again, and it does not hold up the others.
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
BATCH_SIZE = 100  # logs a call
SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(days=1)
CLAIM_DURATION = timedelta(minutes=5)  # one process reads a log at a time
# An expression, not conditions: planners would look at all runs of these statuses instead of the unsealed ones.
_NOT_RESUMED = Q(status=Status.ERRORED, reason__in=("secret_unavailable", "log_damaged"))
_UNREAD = Case(When(Q(status=Status.LOST) | _NOT_RESUMED, then=True), default=False)


class OrphanSealer(PeriodicTask):
    """A thread of its own: a log of gigabytes takes a minute to read, and neither claims nor recovery wait for it."""

    def __init__(self, over: threading.Event | None = None) -> None:
        super().__init__("log-sealer", self.run_once, SECONDS, over)

    def run_once(self) -> float:
        seal_orphaned_logs(self.stop_event.is_set)
        return SECONDS


def seal_orphaned_logs(is_cancelled: Callable[[], bool] = lambda: False) -> int:
    """For anybody, as often as they like; returns how many were sealed before `is_over` said to stop.

    A run that has ended takes no more lines, so what is stored now is all there will be; what its script wrote after
    that is a gap.
    """
    unsealed = Run.objects.filter(UNSEALED).alias(is_unread=_UNREAD).filter(is_unread=True)
    new = unsealed.filter(log_seal_after=None).order_by("finished_at")
    again = unsealed.filter(log_seal_after__lt=Now()).order_by("log_seal_after")
    columns = ("pk", "lease_epoch", "log_seal_tries")
    due = list(new.values_list(*columns)[:BATCH_SIZE])  # those that never failed come first
    due += list(again.values_list(*columns)[: BATCH_SIZE - len(due)])
    return sum(_claim_and_seal(*row) for row in due if not is_cancelled())


def _claim_and_seal(run_id: UUID, epoch: int, tries: int) -> bool:
    """Claim the log, so that no other process reads it at the same time, and seal it."""
    mine = Run.objects.filter(pk=run_id, log_seal_tries=tries, log_digest="")
    if not mine.update(log_seal_tries=F("log_seal_tries") + 1, log_seal_after=Now() + CLAIM_DURATION):
        return False
    try:
        return _seal_log(run_id, epoch)
    except ApiError as error:
        reason = error.message
    except Exception as error:
        log.exception("run %s", run_id, extra={"run_id": str(run_id)})
        reason = f"{type(error).__name__}: {error}"
    pause = min(FIRST_PAUSE * 2 ** min(tries, 20), LONGEST_PAUSE)
    Run.objects.filter(pk=run_id, log_seal_tries=tries + 1).update(log_seal_after=Now() + pause)
    words = "the log of run %s can't be sealed (try %d, again in %s): %s"
    log.warning(words, run_id, tries + 1, pause, reason, extra={"run_id": str(run_id)})
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
