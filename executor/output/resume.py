"""Reads a container's output again from the engine's log, and skips the stored part to the byte.

Reads the stream of `Engine.open_log`; `docker_log` parses it. Stores nothing.
"""

import threading
import time
from dataclasses import dataclass

from executor.docker.attachment import Attachment
from executor.docker.errors import LogCut
from executor.docker.frames import STDERR, STDOUT
from executor.docker.protocol import LogEngine
from executor.output.docker_log import ChunkDecoder, MessageParser, StreamPosition
from executor.output.source import BLOCK_BYTES, ENGINE_LOST, GAP, UNCOUNTED, Piece
from executor.spec import Cursor

TOLERANCE_NS = 500_000_000  # between two clocks that were just compared
EXIT_SECONDS = 10  # between the end of a followed log and the engine's report that the container has exited


START = Cursor()


@dataclass(frozen=True)
class StoredLog:
    """The stored part of a log that is read again: its cursors, when its first line was received, and when the engine
    went away since (both in unix nanoseconds by this machine's clock; 0: never or unknown). `full`: no more output is
    stored; new output is only counted."""

    stdout: Cursor = START
    stderr: Cursor = START
    first_ns: int = 0
    cut_ns: int = 0
    full: bool = False


class ResumedLog:
    """A `source.Source` of a running or exited container's output after the stored part.

    Times are the engine's. The order within a stream is exact; between the streams it is the engine's.
    """

    def __init__(self, engine: LogEngine, name: str, stored: StoredLog) -> None:
        self._engine = engine
        self._name = name
        self._stored = stored
        self._cursors = {STDOUT: stored.stdout, STDERR: stored.stderr}
        self._places: dict[int, StreamPosition] = {}
        self._connection: Attachment | None = None
        self._chunks, self._messages = ChunkDecoder(), MessageParser({})
        self._driver = ""
        self._is_following = True
        self._passes = 0
        self._is_finished = False
        self._is_closed = False
        self._lock = threading.Lock()
        self.has_gap = False  # the engine has lost output; a piece marks the place
        self.has_replaced_bytes = False  # the log driver may have replaced bytes that are not UTF-8
        self.surplus: dict[int, Cursor] = {}
        self.received = 0

    def read(self, timeout: float | None) -> list[Piece] | None:
        """See `source.Source`. NotFound when the container does not exist."""
        if self._is_finished:
            raise EOFError
        connection = self._connection or self._open_pass()
        block = connection.recv(BLOCK_BYTES, timeout)
        if block is None:
            return None
        self.received += len(block)
        pieces = self._messages.feed(self._chunks.feed(block))
        if self._stored.full and self._passes == 1:
            self._passes += 1
            pieces.insert(0, (GAP, UNCOUNTED.encode(), 0))
        self.surplus |= self._messages.surplus
        if self._driver != "local":
            self.has_replaced_bytes = self.has_replaced_bytes or any("\ufffd".encode() in data for _, data, _ in pieces)
        if self._chunks.has_ended or block == b"":
            pieces += self._end_pass()
        self.has_gap = self.has_gap or any(stream == GAP for stream, _, _ in pieces)
        return pieces

    def get_text_before(self, stream: int) -> bytes:
        return self._places[stream].before

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._connection:
                self._connection.close()

    def _open_pass(self) -> Attachment:
        if not self._driver:
            answer = self._engine.describe_container(self._name)
            self._driver = str(answer["HostConfig"]["LogConfig"]["Type"])
            self._is_following = self._engine.inspect(self._name).is_running
        opened = self._engine.open_log(self._name, follow=self._is_following, new_only=self._stored.full)
        by_lines = self._driver != "local"
        stored = {stream: Cursor() for stream in self._cursors} if self._stored.full else self._cursors
        self._places = {stream: StreamPosition(cursor, by_lines) for stream, cursor in stored.items()}
        self._chunks, self._messages = ChunkDecoder(), MessageParser(self._places, *self._convert_moments())
        self._passes += 1
        with self._lock:
            self._connection = opened
        if self._is_closed:
            opened.close()
        return opened

    def _convert_moments(self) -> tuple[int, int]:
        """When the engine went away and when its log begins at the latest, by the engine's clock; 0 if unknown."""
        stored = self._stored
        if self._passes or stored.full or not (stored.cut_ns or stored.first_ns):
            return 0, 0
        # The time before the call errs on the late side. That is harmless, because an engine comes back long after it
        # went away; a time that is too early would store lines twice.
        asked_at = time.time()
        ahead = int((self._engine.read_clock() - asked_at) * 1e9)
        return stored.cut_ns and stored.cut_ns + ahead, stored.first_ns and stored.first_ns + ahead + TOLERANCE_NS

    def _end_pass(self) -> list[Piece]:
        # A followed log may lack its last output, so a second pass reads it after the exit.
        assert self._connection is not None
        self._connection.close()
        whole = self._confirm_exit() if self._is_following else self._chunks.has_ended
        if self._is_closed or not whole:
            raise LogCut("The connection to the container's log was lost while it was read.")
        if self._is_following and not self._stored.full:
            self._cursors = {stream: place.cursor for stream, place in self._places.items()}
            self._is_following, self._connection = False, None
            return self._make_gap(self._messages.end_stored_part())
        self._is_finished = True
        if not self._messages.has_gap and any(place.is_short() for place in self._places.values()):
            return self._make_gap(self._messages.end_stored_part() or ENGINE_LOST)
        return self._make_gap(self._messages.end_stored_part())

    def _make_gap(self, cause: str) -> list[Piece]:
        self.surplus |= self._messages.surplus
        return [(GAP, cause.encode(), 0)] if cause else []

    def _confirm_exit(self) -> bool:
        for _ in range(EXIT_SECONDS):
            if self._is_closed or not self._engine.inspect(self._name).is_running:
                break
            self._engine.wait(self._name, 1)
        return not self._is_closed and not self._engine.inspect(self._name).is_running
