"""A container's output as pieces, and the attached connection as their source."""

import time
from collections.abc import Callable
from typing import Protocol

from executor.docker.attachment import Attachment
from executor.docker.errors import LogCut
from executor.docker.frames import FrameParser
from executor.spec import Cursor

GAP = 0  # beside the streams STDOUT and STDERR: the piece marks a gap
ENGINE_LOST, ENGINE_RESTARTED, ROTATED, UNCOUNTED = "engine_lost", "engine_restarted", "rotated", "uncounted"
SPLIT = "split"  # nothing is lost: the line continues in the next stored line
BLOCK_BYTES = 256 * 1024
# Stream, bytes, arrival time in unix nanoseconds. For the stream GAP the bytes are the gap's cause.
Piece = tuple[int, bytes, int]


class Source(Protocol):
    """A source of a container's output. One reader; `close` from any thread."""

    surplus: dict[int, Cursor]  # by stream, set with a gap: the stored part that the engine's log no longer contains
    received: int  # bytes received over the connection

    def read(self, timeout: float | None) -> list[Piece] | None:
        """New output in order; None after `timeout` seconds without data. An empty list is not the end.

        Raises EOFError after all output of the container, LogCut when reading ended before that (the connection broke,
        or `close`), and another EngineError when there is nothing to read.
        """
        ...

    def get_text_before(self, stream: int) -> bytes:
        """The end of the text before the first byte read, in the same line; empty at a line's start."""
        ...

    def close(self) -> None:
        """End the reading and wake the reader. Idempotent."""
        ...


class AttachedSource:
    """The attached streams of a container, opened before its start: exact, and the fastest source.

    The end of the connection does not show whether the container exited or the engine failed: then `exited` is called,
    which may block.
    """

    def __init__(
        self,
        attachment: Attachment,
        exited: Callable[[], bool] = lambda: True,
        on_first_byte: Callable[[], None] = lambda: None,
    ) -> None:
        self._attachment = attachment
        self._exited = exited
        self._on_first_byte = on_first_byte
        self._frames = FrameParser()
        self._is_closed = False
        self.surplus: dict[int, Cursor] = {}
        self.received = 0

    def read(self, timeout: float | None) -> list[Piece] | None:
        block = self._attachment.recv(BLOCK_BYTES, timeout)
        if block is None:
            return None
        if not self.received and block:
            self._on_first_byte()
        self.received += len(block)
        if block == b"":
            if self._is_closed or not self._exited():
                raise LogCut("The connection to the script's output was lost while the script ran.")
            raise EOFError
        now = time.time_ns()
        return [(stream, data, now) for stream, data in self._frames.feed(block)]

    def get_text_before(self, stream: int) -> bytes:
        return b""

    def close(self) -> None:
        self._is_closed = True
        self._attachment.close()
