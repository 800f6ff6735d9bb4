"""The content of a log's object: the packed text of its chunks in order, as stored in the database."""

import hashlib
import io
import time
from collections.abc import Iterator
from uuid import UUID

from cronium_admin.logs.archive import objects
from cronium_admin.logs.models import LogChunk, LogHead, LogObject
from cronium_admin.logs.throttle import Throttle

BATCH_SIZE = 8  # chunks in memory; a fast log has chunks of 256 KiB and more
EXTEND_SECONDS = 30.0


class ClaimLost(Exception):
    """Another process has expired the claim, or the log was removed: stop writing the object."""


class IncompleteLog(Exception):
    """The database does not contain all chunks of the log."""


class PackedLog(io.RawIOBase):
    """A file object that can be read once, in order. Reading extends the claim on the object.

    Reading raises ClaimLost, IncompleteLog and throttle.Stopped.
    """

    def __init__(self, log_object: LogObject, run_id: UUID, pace: Throttle) -> None:
        self._object, self._run_id, self._pace = log_object, run_id, pace
        self._extended_at = time.monotonic()
        self._digest = hashlib.sha256()
        self._parts = self._read_chunks()
        self._rest = memoryview(b"")
        self.size = 0
        self._lines = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        # Multipart uploads need parts of equal size: exactly `size` bytes except at the end.
        parts: list[memoryview] = []
        missing = size
        while size < 0 or missing > 0:
            self._rest = self._rest or memoryview(next(self._parts, b""))
            if not self._rest:
                break
            part = self._rest[:missing] if size >= 0 else self._rest
            self._rest = self._rest[len(part) :]
            missing -= len(part)
            parts.append(part)
        data = b"".join(parts)
        self._digest.update(data)
        self.size += len(data)
        return data

    def check_complete(self) -> None:
        head = LogHead.objects.filter(pk=self._run_id).values_list("lines", flat=True).first()
        if self._lines != head:
            raise IncompleteLog(f"the chunks contain {self._lines} lines, the head counts {head}")

    def extend_claim(self) -> None:
        """Call often while the object is written and read back. Raises Stopped and ClaimLost."""
        self._pace.raise_if_stopped()
        if time.monotonic() - self._extended_at > EXTEND_SECONDS:
            if not objects.extend_claim(self._object):
                raise ClaimLost
            self._extended_at = time.monotonic()

    def _read_chunks(self) -> Iterator[bytes]:
        chunks = LogChunk.objects.filter(run_id=self._run_id).order_by("first_seq")
        rows = chunks.values_list("first_seq", "lines", "data", "object_offset")
        while batch := list(rows.filter(first_seq__gt=self._lines)[:BATCH_SIZE]):
            self.extend_claim()
            for first_seq, lines, data, offset in batch:
                if first_seq != self._lines + 1 or offset is not None:
                    raise IncompleteLog(f"line {self._lines + 1} is missing")
                self._lines += lines
                yield bytes(data)
