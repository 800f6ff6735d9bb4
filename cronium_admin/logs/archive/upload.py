"""What is uploaded of a log: the packed text of its chunks, one after the other, as the database has it."""

import hashlib
import io
import time
from collections.abc import Iterator
from uuid import UUID

from cronium_admin.logs.archive import objects
from cronium_admin.logs.models import LogChunk, LogHead, LogObject
from cronium_admin.logs.throttle import Throttle

BATCH_SIZE = 8  # chunks in memory: a flood's have 256 KiB and more
EXTEND_SECONDS = 30.0


class ClaimLost(Exception):
    """The object is not ours to write any more."""


class IncompleteLog(Exception):
    """The database does not have all chunks of the log."""


class PackedLog(io.RawIOBase):
    """A file to read once, from the first byte to the last; keeps the claim on the object meanwhile.

    Raises ClaimLost, NotWhole and pace.Stopped while it is read.
    """

    def __init__(self, one: LogObject, run_id: UUID, pace: Throttle) -> None:
        self._object, self._run_id, self._pace = one, run_id, pace
        self._extended_at = time.monotonic()
        self._digest = hashlib.sha256()
        self._parts = self._read_chunks()
        self._rest = memoryview(b"")
        self.size = 0
        self._lines = 0

    @property
    def sha256(self) -> str:
        """Of what was read so far, in hex."""
        return self._digest.hexdigest()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """As asked unless the end comes first: those who upload in parts want each but the last of the same size."""
        parts: list[memoryview] = []
        wanted = size
        while size < 0 or wanted > 0:
            self._rest = self._rest or memoryview(next(self._parts, b""))
            if not self._rest:
                break
            part = self._rest[:wanted] if size >= 0 else self._rest
            self._rest = self._rest[len(part) :]
            wanted -= len(part)
            parts.append(part)
        data = b"".join(parts)
        self._digest.update(data)
        self.size += len(data)
        return data

    def check_complete(self) -> None:
        """After the end: every line that the head counts was there."""
        head = LogHead.objects.filter(pk=self._run_id).values_list("lines", flat=True).first()
        if self._lines != head:
            raise IncompleteLog(f"its chunks hold {self._lines} lines, its head counts {head}")

    def extend_claim(self) -> None:
        """To be called often while the object is written and read back."""
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
                    raise IncompleteLog(f"line {self._lines + 1} is not there")
                self._lines += lines
                yield bytes(data)
