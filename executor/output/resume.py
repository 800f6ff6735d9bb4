"""A container's output once more, from the engine's own log: what is stored already is skipped, to the byte.

Reads what `Engine.logs` opens; `engine_log` takes it apart. Stores nothing.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

from executor.docker.attachment import Attachment
from executor.docker.errors import LogCut
from executor.docker.models import ContainerState
from executor.output.docker_log import Chunks, Messages, Place
from executor.output.stream import BLOCK_BYTES, ENGINE_LOST, GAP, STDERR, STDOUT, UNCOUNTED, Piece
from executor.spec import Cursor

TOLERANCE_NS = 500_000_000  # between two clocks that were compared a moment ago
EXIT_SECONDS = 10  # between the end of a followed log and the engine's word that the container has exited


class LogEngine(Protocol):
    """What a resumed log needs of an engine."""

    def logs(self, name: str, *, follow: bool, new_only: bool = False) -> Attachment: ...
    def inspect(self, name: str) -> ContainerState: ...
    def describe_container(self, name: str) -> dict[str, Any]: ...
    def wait(self, name: str, seconds: int) -> None: ...
    def now(self) -> float: ...


START = Cursor()


@dataclass(frozen=True)
class Known:
    """What is known of a log that is read again: what of it is stored, when its first line was received, and when an
    engine that was away since went away (unix nanoseconds here; 0 for not, or not known). `full`: nothing more of it
    is kept, so that only what comes from now on is counted."""

    stdout: Cursor = START
    stderr: Cursor = START
    first_ns: int = 0
    cut_ns: int = 0
    full: bool = False


class ResumedLog:
    """A `stream.Source` of all that container `name`, running or exited, writes past what is known.

    Times are the engine's; the order within a stream is exact, between the streams it is the engine's.
    """

    def __init__(self, engine: LogEngine, name: str, known: Known) -> None:
        self._engine = engine
        self._name = name
        self._known = known
        self._cursors = {STDOUT: known.stdout, STDERR: known.stderr}
        self._places: dict[int, Place] = {}
        self._connection: Attachment | None = None
        self._chunks, self._messages = Chunks(), Messages({})
        self._driver = ""
        self._following = True
        self._passes = 0
        self._finished = False
        self._closed = False
        self._lock = threading.Lock()
        self.gap = False  # the engine has lost output, and one of the pieces said where
        self.replaced = False  # bytes that are not UTF-8 may have been replaced: the log's driver can't keep them
        self.surplus: dict[int, Cursor] = {}
        self.received = 0

    def read(self, timeout: float | None) -> list[Piece] | None:
        """See `stream.Source`. NotFound when there is no such container (any more)."""
        if self._finished:
            raise EOFError
        connection = self._connection or self._open()
        block = connection.recv(BLOCK_BYTES, timeout)
        if block is None:
            return None
        self.received += len(block)
        pieces = self._messages.feed(self._chunks.feed(block))
        if self._known.full and self._passes == 1:
            self._passes += 1
            pieces.insert(0, (GAP, UNCOUNTED.encode(), 0))
        self.surplus |= self._messages.surplus
        if self._driver != "local":
            self.replaced = self.replaced or any("\ufffd".encode() in data for _, data, _ in pieces)
        if self._chunks.ended or block == b"":
            pieces += self._end_of_pass()
        self.gap = self.gap or any(stream == GAP for stream, _, _ in pieces)
        return pieces

    def before(self, stream: int) -> bytes:
        return self._places[stream].before

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._connection:
                self._connection.close()

    def _open(self) -> Attachment:
        """Begin a pass over the log: along with a container that runs, or over all there is."""
        if not self._driver:
            told = self._engine.describe_container(self._name)
            self._driver = str(told["HostConfig"]["LogConfig"]["Type"])
            self._following = self._engine.inspect(self._name).running
        opened = self._engine.logs(self._name, follow=self._following, new_only=self._known.full)
        by_lines = self._driver != "local"
        stored = {stream: Cursor() for stream in self._cursors} if self._known.full else self._cursors
        self._places = {stream: Place(cursor, by_lines) for stream, cursor in stored.items()}
        self._chunks, self._messages = Chunks(), Messages(self._places, *self._moments())
        self._passes += 1
        with self._lock:
            self._connection = opened
        if self._closed:
            opened.close()
        return opened

    def _moments(self) -> tuple[int, int]:
        """When the engine went away, and by when its log begins, on its own clock; 0 where that says nothing."""
        known = self._known
        if self._passes or known.full or not (known.cut_ns or known.first_ns):
            return 0, 0
        # By our time before the question: an engine that was away comes back long after the moment it went, so a
        # moment that is taken for a little later does no harm, and one for earlier would have lines stored twice.
        asked_at = time.time()
        ahead = int((self._engine.now() - asked_at) * 1e9)
        return known.cut_ns and known.cut_ns + ahead, known.first_ns and known.first_ns + ahead + TOLERANCE_NS

    def _end_of_pass(self) -> list[Piece]:
        """A followed log may lack its last words, so it is read once more after the exit."""
        assert self._connection is not None
        self._connection.close()
        whole = self._exited() if self._following else self._chunks.ended
        if self._closed or not whole:
            raise LogCut("The log of the run's container was cut off while it was read.")
        if self._following and not self._known.full:
            self._cursors = {stream: place.stands for stream, place in self._places.items()}
            self._following, self._connection = False, None
            return self._gap(self._messages.end_of_stored())
        self._finished = True
        if not self._messages.lost and any(place.falls_short() for place in self._places.values()):
            return self._gap(self._messages.end_of_stored() or ENGINE_LOST)
        return self._gap(self._messages.end_of_stored())

    def _gap(self, cause: str) -> list[Piece]:
        self.surplus |= self._messages.surplus
        return [(GAP, cause.encode(), 0)] if cause else []

    def _exited(self) -> bool:
        for _ in range(EXIT_SECONDS):
            if self._closed or not self._engine.inspect(self._name).running:
                break
            self._engine.wait(self._name, 1)
        return not self._closed and not self._engine.inspect(self._name).running
