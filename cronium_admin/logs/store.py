"""Writes runs' logs: chunks are prepared in the run's own thread and committed for all runs by one thread.

The chunks, head and cursors of a batch are stored in one transaction, which first checks that the run is still under
the lease of the writer. Watchers are notified after the commit.
"""

import hashlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from cronium_admin.core import notify
from cronium_admin.core.database.compiled import CompiledQuery
from cronium_admin.core.database.outage import retry_during_outage
from cronium_admin.core.database.threads import close_connections
from cronium_admin.core.database.upsert import Upsert
from cronium_admin.core.lease import LeaseLost
from cronium_admin.logs import read
from cronium_admin.logs.codec import IndexEntry, pack_index, pack_text
from cronium_admin.logs.gaps import SPLIT
from cronium_admin.logs.models import LogChunk, LogGap, LogHead
from cronium_admin.logs.protocols import BatchLike, SegmentLike
from cronium_admin.runs.models import TERMINAL, Run

log = logging.getLogger("cronium.logs")
# Small batches extend the last chunk up to these sizes, so that a slow log does not need a row per line. Each batch
# writes the whole chunk again.
GROW_BYTES = 32 * 1024
GROW_INDEX_BYTES = 4 * 1024
RUNS_PER_QUERY = 64
BURST, GATHER_SECONDS = 2, 0.05
CHUNK_FIELDS = ["lines", "bytes", "last_ns", "index", "data"]  # changed when a chunk is extended
HEAD_FIELDS = [
    *("lines", "bytes", "stdout_lines", "stdout_bytes", "stderr_lines", "stderr_bytes"),
    *("stdout_tail", "stderr_tail", "sealed", "gaps", "dropped_lines", "dropped_bytes"),
]
_CHUNKS = Upsert(LogChunk, ["run", "first_seq"], CHUNK_FIELDS)
_HEADS = Upsert(LogHead, ["run"], HEAD_FIELDS)


@dataclass(eq=False)
class PendingWrite:
    """One run's rows for a transaction, under lease `epoch`. An extended chunk replaces its row."""

    run_id: UUID
    epoch: int
    head: LogHead
    chunk: LogChunk | None = None
    gaps: tuple[LogGap, ...] = ()
    is_urgent: bool = False  # committed at once
    done: "Future[None]" = field(default_factory=Future)


class RunLog:
    """The log of one run while it is written under lease `epoch`. Used by one thread at a time."""

    def __init__(self, run_id: UUID, epoch: int) -> None:
        self.run_id = run_id
        self.epoch = epoch
        self.lines = 0
        self.bytes = 0
        # The cursor (lines, bytes) of each stream, where a reader continues.
        self.stdout = 0, 0
        self.stderr = 0, 0
        self.gaps = 0  # places where output was lost
        self._known_gaps: set[tuple[int, str]] = set()  # (line, cause) of the gaps, each stored once
        self.dropped = 0, 0
        self.first_ns = 0  # when the first line was received
        self._digest = hashlib.sha256()
        self._head = LogHead(run_id=run_id)
        self._open_first = 1
        self._open_lines, self._open_ns = 0, 0
        self._open_text, self._open_index = b"", b""

    @classmethod
    def resume(cls, run_id: UUID, epoch: int) -> "RunLog":
        """Continue the stored log. Call only under the current lease: earlier owners cannot write after it began."""
        log = cls(run_id, epoch)
        if head := LogHead.objects.filter(run_id=run_id).first():
            log._head = head
            log.lines, log.bytes = head.lines, head.bytes
            log.stdout = head.stdout_lines, head.stdout_bytes
            log.stderr = head.stderr_lines, head.stderr_bytes
            log.dropped = head.dropped_lines, head.dropped_bytes
            log._add_gaps(LogGap.objects.filter(run_id=run_id) if head.gaps else ())
            first = LogChunk.objects.filter(run_id=run_id, first_seq=1).values_list("first_ns", flat=True)
            log.first_ns = first.first() or 0
            for text in read.read_text(run_id):
                log._digest.update(text)
        return log

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    @property
    def totals(self) -> dict[str, Any]:
        return {
            "log_lines": self.lines,
            "log_bytes": self.bytes,
            "log_digest": self.digest,
            "log_gaps": self.gaps,
            "log_dropped_lines": self.dropped[0],
            "log_dropped_bytes": self.dropped[1],
        }

    def prepare_write(self, batch: BatchLike) -> PendingWrite:
        gaps = self._add_gaps(self._make_gap(self.lines + gap.at, gap.cause) for gap in batch.gaps)
        self.dropped = batch.dropped.lines, batch.dropped.bytes
        is_urgent = not self.lines or sum(len(segment.text) for segment in batch.segments) > GROW_BYTES
        chunk = self._append_lines(batch.segments) if batch.segments else None
        self.stdout = batch.stdout.lines, batch.stdout.bytes
        self.stderr = batch.stderr.lines, batch.stderr.bytes
        self._head = LogHead(
            run_id=self.run_id,
            lines=self.lines,
            bytes=self.bytes,
            stdout_lines=batch.stdout.lines,
            stdout_bytes=batch.stdout.bytes,
            stderr_lines=batch.stderr.lines,
            stderr_bytes=batch.stderr.bytes,
            stdout_tail=batch.stdout_tail,
            stderr_tail=batch.stderr_tail,
            gaps=self._head.gaps + len(gaps),
            dropped_lines=self.dropped[0],
            dropped_bytes=self.dropped[1],
        )
        return PendingWrite(self.run_id, self.epoch, self._head, chunk, gaps, is_urgent)

    def prepare_seal(self, missing: str = "") -> PendingWrite:
        """The write that marks the log as complete. `missing` is a cause of `gaps` if output after it is lost."""
        head = self._head
        gaps = self._add_gaps([self._make_gap(self.lines, missing)] if missing else ())
        head.sealed, head.stdout_tail, head.stderr_tail = True, b"", b""
        head.gaps += len(gaps)
        return PendingWrite(self.run_id, self.epoch, head, gaps=gaps, is_urgent=True)

    def _make_gap(self, after: int, cause: str) -> LogGap:
        return LogGap(run_id=self.run_id, after_seq=after, cause=cause)

    def _add_gaps(self, gaps: Iterable[LogGap]) -> tuple[LogGap, ...]:
        by_place = {(gap.after_seq, gap.cause): gap for gap in gaps}
        new_gaps = tuple(gap for place, gap in by_place.items() if place not in self._known_gaps)
        self._known_gaps |= by_place.keys()
        self.gaps += sum(gap.cause != SPLIT for gap in new_gaps)
        return new_gaps

    def _append_lines(self, segments: tuple[SegmentLike, ...]) -> LogChunk:
        text = b"".join(segment.text for segment in segments)
        index = pack_index(IndexEntry(segment.stream, segment.lines, segment.unix_ns) for segment in segments)
        lines = sum(segment.lines for segment in segments)
        self._digest.update(text)
        grown_bytes, grown_index = len(self._open_text) + len(text), len(self._open_index) + len(index)
        if self._open_text and grown_bytes <= GROW_BYTES and grown_index <= GROW_INDEX_BYTES:
            self._open_lines += lines
            self._open_text += text
            self._open_index += index
        else:
            self._open_first, self._open_lines, self._open_ns = self.lines + 1, lines, segments[0].unix_ns
            self._open_text, self._open_index = text, index
        self.lines += lines
        self.bytes += len(text)
        return LogChunk(
            run_id=self.run_id,
            first_seq=self._open_first,
            lines=self._open_lines,
            byte_offset=self.bytes - len(self._open_text),
            bytes=len(self._open_text),
            first_ns=self._open_ns,
            last_ns=segments[-1].unix_ns,
            index=self._open_index,
            data=pack_text(self._open_text),
        )


def commit_writes(writes: list[PendingWrite]) -> set[PendingWrite]:
    """Store `writes` in one transaction. Returns the writes that were not stored because their lease was lost.

    Safe to repeat. The number of queries does not depend on the number of runs.
    """
    with transaction.atomic():
        lost = _find_lost_leases(writes)
        valid = [write for write in writes if write not in lost]
        _CHUNKS.execute([write.chunk for write in valid if write.chunk])
        if gaps := [gap for write in valid for gap in write.gaps]:
            LogGap.objects.bulk_create(gaps, ignore_conflicts=True)
        _HEADS.execute([write.head for write in valid])
    notify.publish_changed(write.run_id for write in valid)
    return lost


def _find_lost_leases(writes: list[PendingWrite]) -> set[PendingWrite]:
    # The runs stay locked until the commit: a process that takes a run over waits for the lock, or is seen here.
    # In the order of their keys, so that two processes do not wait for each other.
    run_ids = sorted({write.run_id for write in writes})
    epochs: dict[UUID, int] = {}
    for start in range(0, len(run_ids), RUNS_PER_QUERY):
        part = run_ids[start : start + RUNS_PER_QUERY]
        part += part[-1:] * (_round_up(len(part)) - len(part))
        rows = _select_leases(len(part)).fetch(**{f"run{index}": run_id for index, run_id in enumerate(part)})
        epochs |= {run_id: epoch for run_id, epoch, status in rows if status not in TERMINAL}
    return {write for write in writes if epochs.get(write.run_id) != write.epoch}


def _round_up(number: int) -> int:
    """The next power of two: one compiled query for each."""
    return 1 << (number - 1).bit_length()


@cache
def _select_leases(number: int) -> CompiledQuery[tuple[UUID, int, str]]:
    def build(**run_ids: UUID) -> "QuerySet[Run, tuple[UUID, int, str]]":
        runs = Run.objects.filter(pk__in=run_ids.values()).order_by("pk").select_for_update(no_key=True)
        return runs.values_list("pk", "lease_epoch", "status")

    return CompiledQuery(build, **{f"run{index}": Run._meta.pk for index in range(number)})


class LogWriter:
    """The one thread of a host that writes logs. Writes that arrive during a commit are committed together next.

    If BURST commits began within GATHER_SECONDS, the next one waits for further writes, unless one is urgent: of many
    runs with a few lines each, several share a commit.
    """

    def __init__(self) -> None:
        self._begun: deque[float] = deque(maxlen=BURST)  # when the last commits began
        self._queue: queue.SimpleQueue[PendingWrite | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, write: PendingWrite) -> None:
        """Returns when `write` is committed. Raises LeaseLost, or the database error of this write.

        LeaseLost: the run has ended, was deleted, or is under another lease; nothing of the write was stored.
        """
        self._queue.put(write)
        write.done.result()

    def close(self) -> None:
        self._closed.set()
        self._queue.put(None)
        self._thread.join(10)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            self._collect_writes(group)
            while not self._queue.empty() and (write := self._queue.get()) is not None:
                group.append(write)
            self._commit_group(group)
            if self._closed.is_set() and self._queue.empty():
                break
        close_connections()

    def _collect_writes(self, group: list[PendingWrite]) -> None:
        until = self._begun[0] + GATHER_SECONDS if len(self._begun) == BURST else 0.0
        while not group[-1].is_urgent and not self._closed.is_set() and (left := until - time.monotonic()) > 0:
            with suppress(queue.Empty):
                if (write := self._queue.get(timeout=left)) is None:
                    break  # `close` was called
                group.append(write)
        if not group[-1].is_urgent:
            self._begun.append(time.monotonic())

    def _commit_group(self, group: list[PendingWrite]) -> None:
        # If the common commit fails, each write is committed alone, so that one bad write does not fail the others.
        try:
            refused = retry_during_outage(lambda: commit_writes(group), self._closed, "storing logs")
        except Exception as error:  # noqa: BLE001 - passed on to the run of the write; the others continue
            if len(group) == 1:
                group[0].done.set_exception(error)
                return
            for write in group:
                self._commit_group([write])
            return
        for write in group:
            if write in refused:
                write.done.set_exception(LeaseLost(f"run {write.run_id} is not under lease {write.epoch} any more"))
            else:
                write.done.set_result(None)
