"""Removes logs that retention no longer keeps. The run with its numbers and its digest stays.

First the run's row says so, in one conditional UPDATE: from then on nobody reads the log. Then its chunks go, a batch a
transaction, and its head at last. Whoever dies on the way leaves a head that says `pruning`; any process goes on there.
"""

from collections.abc import Collection, Iterator
from uuid import UUID

from django.db import transaction

from cronium_admin.logs.archive import objects
from cronium_admin.logs.failures import Failures
from cronium_admin.logs.models import LogChunk, LogGap, LogHead
from cronium_admin.logs.retention.due import DueLog, find_due_logs
from cronium_admin.logs.throttle import Throttle
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import TERMINAL

BATCH_SIZE = 200  # chunks a transaction


def prune_due_logs(pace: Throttle) -> Iterator[DueLog]:
    """Go on with what was begun, then remove what is due; each as it is gone. Raises Skipped at the end."""
    failures = Failures("removed")
    for run_id in list(LogHead.objects.filter(pruning=True).values_list("pk", flat=True)):
        with failures.skip_failed(f"run {run_id}"):
            delete_hidden_logs([run_id], pace)
    for one in find_due_logs():
        pace.raise_if_stopped()
        is_removed = False
        with failures.skip_failed(one.name):
            if _mark_pruned(one):
                delete_hidden_logs([one.run_id], pace)
                is_removed = True
        if is_removed:
            yield one
    failures.raise_failures()


def _mark_pruned(one: DueLog) -> bool:
    """False when somebody else was faster."""
    with transaction.atomic():
        if not state_machine.prune_log(one.run_id, one.why, one.lines, one.bytes):
            return False
        LogHead.objects.filter(pk=one.run_id).update(pruning=True)
    return True


def hide_logs(run_ids: Collection[UUID], why: str) -> None:
    """From now on nobody reads the logs of these ended runs."""
    with transaction.atomic():
        state_machine.hide_logs(run_ids, why)
        LogHead.objects.filter(pk__in=run_ids, run__status__in=TERMINAL).update(pruning=True)


def delete_hidden_logs(run_ids: Collection[UUID], pace: Throttle) -> None:
    """Remove all that is stored of hidden logs, from the first line on: a reader finds a hole, never a shorter log."""
    objects.mark_unwanted(run_ids)
    chunks = LogChunk.objects.filter(run_id__in=run_ids).order_by("run_id", "first_seq").values_list("pk", flat=True)
    while batch := list(chunks[:BATCH_SIZE]):
        with pace.run_step():
            LogChunk.objects.filter(pk__in=batch).delete()
    LogGap.objects.filter(run_id__in=run_ids).delete()
    LogHead.objects.filter(pk__in=run_ids, pruning=True).delete()
