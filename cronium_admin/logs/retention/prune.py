"""Removes logs by retention. The run with its counts and its digest stays.

First one conditional UPDATE of the run's row hides the log from readers. Then its chunks are deleted, one batch per
transaction, and its head last. If the process dies, the head has `pruning` set and any process continues.
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
    """Complete the unfinished removals, then remove all due logs; yields each log after it is removed.

    Raises LogsSkipped at the end if logs failed.
    """
    failures = Failures("removed")
    for run_id in list(LogHead.objects.filter(pruning=True).values_list("pk", flat=True)):
        with failures.skip_failed(f"run {run_id}"):
            delete_hidden_logs([run_id], pace)
    for due_log in find_due_logs():
        pace.raise_if_stopped()
        is_removed = False
        with failures.skip_failed(due_log.name):
            if _mark_pruned(due_log):
                delete_hidden_logs([due_log.run_id], pace)
                is_removed = True
        if is_removed:
            yield due_log
    failures.raise_failures()


def _mark_pruned(due_log: DueLog) -> bool:
    with transaction.atomic():
        if not state_machine.prune_log(due_log.run_id, due_log.why, due_log.lines, due_log.bytes):
            return False
        LogHead.objects.filter(pk=due_log.run_id).update(pruning=True)
    return True


def hide_logs(run_ids: Collection[UUID], reason: str) -> None:
    with transaction.atomic():
        state_machine.hide_logs(run_ids, reason)
        LogHead.objects.filter(pk__in=run_ids, run__status__in=TERMINAL).update(pruning=True)


def delete_hidden_logs(run_ids: Collection[UUID], pace: Throttle) -> None:
    # From the first line on: a reader gets an error, never a shorter log.
    objects.mark_unwanted(run_ids)
    chunks = LogChunk.objects.filter(run_id__in=run_ids).order_by("run_id", "first_seq").values_list("pk", flat=True)
    while batch := list(chunks[:BATCH_SIZE]):
        with pace.run_step():
            LogChunk.objects.filter(pk__in=batch).delete()
    LogGap.objects.filter(run_id__in=run_ids).delete()
    LogHead.objects.filter(pk__in=run_ids, pruning=True).delete()
