"""Removes logs that retention no longer keeps. The run with its numbers and its digest stays.

First the run's row says so, in one conditional UPDATE: from then on nobody reads the log. Then its chunks go, a batch a
transaction, and its head at last. Whoever dies on the way leaves a head that says `pruning`; any process goes on there.
"""

from collections.abc import Iterator
from uuid import UUID

from django.db import transaction

from cronium_admin.logs import objects
from cronium_admin.logs.due import Due, due
from cronium_admin.logs.models import LogChunk, LogGap, LogHead
from cronium_admin.logs.pace import Pace
from cronium_admin.runs import transitions

BATCH = 200  # chunks a transaction


def prune(pace: Pace) -> Iterator[Due]:
    """Go on with what was begun, then remove what is due; each as it is gone."""
    for run_id in list(LogHead.objects.filter(pruning=True).values_list("pk", flat=True)):
        _remove(run_id, pace)
    for one in due():
        pace.check()
        if _mark(one):
            _remove(one.run_id, pace)
            yield one


def _mark(one: Due) -> bool:
    """False when somebody else was faster."""
    with transaction.atomic():
        if not transitions.prune_log(one.run_id, one.why, one.lines, one.bytes):
            return False
        LogHead.objects.filter(pk=one.run_id).update(pruning=True)
    return True


def _remove(run_id: UUID, pace: Pace) -> None:
    """From the first line on: who still reads finds a hole, and never a shorter log."""
    objects.give_up(run_id)
    chunks = LogChunk.objects.filter(run_id=run_id).order_by("first_seq").values_list("pk", flat=True)
    while batch := list(chunks[:BATCH]):
        with pace.step():
            LogChunk.objects.filter(pk__in=batch).delete()
    LogGap.objects.filter(run_id=run_id).delete()
    LogHead.objects.filter(pk=run_id, pruning=True).delete()
