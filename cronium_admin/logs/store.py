"""Writes a run's log: prepares chunks in the run's own thread, commits those of all runs in one.

Chunks, head and cursor of a batch go into one transaction; only after it are the watchers nudged.
"""

import hashlib
import logging
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction

from cronium_admin.logs.codec import Entry, pack_index, pack_text
from cronium_admin.logs.models import LogChunk, LogHead
from cronium_admin.runs import live

log = logging.getLogger("cronium.logs")
# Small batches grow the last chunk up to this, so that a slow log does not become a row a line.
GROW_BYTES = 32 * 1024
HEAD_FIELDS = [
    *("lines", "bytes", "stdout_lines", "stdout_bytes", "stderr_lines", "stderr_bytes"),
    *("stdout_tail", "stderr_tail", "sealed"),
]


class SegmentLike(Protocol):
    """Whole lines of one stream, read together (the executor's Segment)."""

    @property
    def stream(self) -> int: ...
    @property
    def lines(self) -> int: ...
    @property
    def unix_ns(self) -> int: ...
    @property
    def text(self) -> bytes: ...


class CursorLike(Protocol):
    @property
    def lines(self) -> int: ...
    @property
    def bytes(self) -> int: ...


class BatchLike(Protocol):
    """What is stored together (the executor's Batch)."""

    @property
    def segments(self) -> tuple[SegmentLike, ...]: ...
    @property
    def stdout(self) -> CursorLike: ...
    @property
    def stderr(self) -> CursorLike: ...
    @property
    def stdout_tail(self) -> bytes: ...
    @property
    def stderr_tail(self) -> bytes: ...


@dataclass
class Write:
    """One run's share of a transaction."""

    run_id: UUID
    head: LogHead
    chunk: LogChunk | None = None
    grows: bool = False  # the chunk replaces its row, which was shorter
    done: "Future[None]" = field(default_factory=Future)


class RunLog:
    """The log of one run while it is written. Used by one thread at a time."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        self.lines = 0
        self.bytes = 0
        self._digest = hashlib.sha256()
        self._head = LogHead(run_id=run_id)
        self._open_first = 1
        self._open_text = b""
        self._open_entries: list[Entry] = []

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of logs.txt so far."""
        return self._digest.hexdigest()

    def prepare(self, batch: BatchLike) -> Write:
        """The rows that store `batch`, compressed here so that many runs compress side by side."""
        chunk, grows = self._extend(batch.segments) if batch.segments else (None, False)
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
        )
        return Write(self.run_id, self._head, chunk, grows)

    def seal(self) -> Write:
        """The row that says nothing will follow."""
        head = self._head
        head.sealed, head.stdout_tail, head.stderr_tail = True, b"", b""
        return Write(self.run_id, head)

    def _extend(self, segments: tuple[SegmentLike, ...]) -> tuple[LogChunk, bool]:
        text = b"".join(segment.text for segment in segments)
        entries = [Entry(segment.stream, segment.lines, segment.unix_ns) for segment in segments]
        self._digest.update(text)
        grows = bool(self._open_text) and len(self._open_text) + len(text) <= GROW_BYTES
        if grows:
            self._open_text += text
            self._open_entries += entries
        else:
            self._open_first, self._open_text, self._open_entries = self.lines + 1, text, entries
        self.lines += sum(entry.lines for entry in entries)
        self.bytes += len(text)
        chunk = LogChunk(
            run_id=self.run_id,
            first_seq=self._open_first,
            lines=sum(entry.lines for entry in self._open_entries),
            byte_offset=self.bytes - len(self._open_text),
            bytes=len(self._open_text),
            first_ns=self._open_entries[0].unix_ns,
            last_ns=self._open_entries[-1].unix_ns,
            index=pack_index(self._open_entries),
            data=pack_text(self._open_text),
        )
        return chunk, grows


def commit(writes: list[Write]) -> None:
    """Store `writes`, at most one a run, in one transaction."""
    with transaction.atomic():
        new = [write.chunk for write in writes if write.chunk and not write.grows]
        LogChunk.objects.bulk_create(new)
        for write in writes:
            if write.chunk and write.grows:
                chunk = write.chunk
                LogChunk.objects.filter(run_id=chunk.run_id, first_seq=chunk.first_seq).update(
                    lines=chunk.lines, bytes=chunk.bytes, last_ns=chunk.last_ns, index=chunk.index, data=chunk.data
                )
        heads = [write.head for write in writes]
        LogHead.objects.bulk_create(heads, update_conflicts=True, unique_fields=["run"], update_fields=HEAD_FIELDS)
    live.nudge(write.run_id for write in writes)


class LogWriter:
    """The one thread of a host that writes logs: what has gathered while it committed goes next, together."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, write: Write) -> None:
        """Return when `write` is committed; raises what the database said of it alone."""
        self._queue.put(write)
        write.done.result()

    def close(self) -> None:
        """Commit what was given and end the thread."""
        self._closed.set()
        self._queue.put(None)
        self._thread.join(10)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            while not self._queue.empty() and (more := self._queue.get()) is not None:
                group.append(more)
            self._commit(group)
            if self._closed.is_set() and self._queue.empty():
                break
        connection.close()

    def _commit(self, group: list[Write]) -> None:
        """All together; if one of them can't be stored, one by one, so that it spoils no other."""
        try:
            self._persist(group)
        except Exception as error:  # noqa: BLE001 - told to the run whose write it is; all others go on
            if len(group) == 1:
                group[0].done.set_exception(error)
                return
            for write in group:
                self._commit([write])
            return
        for write in group:
            write.done.set_result(None)

    def _persist(self, group: list[Write]) -> None:
        """Retry while the database is away: the readers wait meanwhile, and so do their containers."""
        pause = 0.1
        while True:
            try:
                close_old_connections()
                return commit(group)
            except (OperationalError, InterfaceError) as error:
                if self._closed.is_set():
                    raise
                log.warning("the log can't be stored now (%s); trying again", str(error).strip())
                connection.close()
                time.sleep(pause)
                pause = min(pause * 2, 5.0)
