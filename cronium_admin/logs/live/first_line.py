"""Records when the first line of a run was sent to a client that waited for it, for the run's trace.

The row is written a second later, so that the write does not compete with the start of the run: for each watched run
one conditional UPDATE, and none for each line or client.
"""

import asyncio
import logging
import time
from concurrent.futures import Executor
from uuid import UUID

from django.db import DatabaseError

from cronium_admin.core import metrics
from cronium_admin.core.database.clock import database_now
from cronium_admin.logs.codec import Line
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run
from cronium_admin.runs.trace import unpack_offsets

log = logging.getLogger("cronium.live")
WRITE_DELAY_SECONDS = 1.0
NEW_SECONDS = 1.0  # a client that connects so soon after the line was written still waited for it


class FirstLine:
    """Of one run in this process. Used in one event loop."""

    def __init__(self, run_id: UUID, threads: Executor) -> None:
        self._run_id, self._threads = run_id, threads
        self._is_noted = False

    def note_sent(self, first: Line, *, has_waited: bool) -> None:
        """Call when the line was sent; only the first call for the line 1 counts. `has_waited`: the client was
        connected before the line was stored."""
        if self._is_noted or first.seq != 1:
            return
        self._is_noted = True
        if has_waited or time.time_ns() - first.unix_ns < NEW_SECONDS * 1e9:
            loop, sent_at = asyncio.get_running_loop(), time.monotonic()
            loop.call_later(
                WRITE_DELAY_SECONDS, lambda: loop.run_in_executor(self._threads, _store, self._run_id, sent_at)
            )


def _store(run_id: UUID, sent_at: float) -> None:
    try:
        row = Run.objects.filter(pk=run_id, first_sent_ms=None).values_list("created_at", "trace").first()
        if row is None or "queued" not in (offsets := unpack_offsets(row[1])):
            return
        since_queued = (database_now() - row[0]).total_seconds() - (time.monotonic() - sent_at)
        seconds = max(0.0, since_queued + offsets["queued"] / 1000)
        if state_machine.record_first_sent(run_id, round(1000 * seconds)):
            metrics.FIRST_LINES_SENT.observe(seconds)
    except DatabaseError as error:  # only a measurement is lost
        log.warning("run %s: the time of its first line at a client was not stored: %s", run_id, error)
