"""A container's output once more, from the engine's own log: what is stored already is skipped, to the byte.

Reads what `Engine.logs` opens; `engine_log` takes it apart. Stores nothing.
"""

import threading
from typing import Any, Protocol

from executor.attachment import Attachment
from executor.engine_log import Chunks, Messages, Place
from executor.errors import LogCut
from executor.seen import ContainerState
from executor.spec import Cursor
from executor.stream import BLOCK_BYTES, STDERR, STDOUT, Piece

EXIT_SECONDS = 10  # between the end of a followed log and the engine's word that the container has exited


class LogEngine(Protocol):
    """What a resumed log needs of an engine."""

    def logs(self, name: str, *, follow: bool) -> Attachment: ...
    def inspect(self, name: str) -> ContainerState: ...
    def describe_container(self, name: str) -> dict[str, Any]: ...
    def wait(self, name: str, seconds: int) -> None: ...


class ResumedLog:
    """A `stream.Source` of all that container `name`, running or exited, writes past two cursors.

    Times are the engine's; the order within a stream is exact, between the streams it is the engine's.
    """

    def __init__(self, engine: LogEngine, name: str, stdout: Cursor, stderr: Cursor) -> None:
        self._engine = engine
        self._name = name
        self._cursors = {STDOUT: stdout, STDERR: stderr}
        self._places: dict[int, Place] = {}
        self._connection: Attachment | None = None
        self._chunks, self._messages = Chunks(), Messages({})
        self._driver = ""
        self._following = True
        self._finished = False
        self._closed = False
        self._lock = threading.Lock()
        self.replaced = False  # bytes that are not UTF-8 may have been replaced: the log's driver can't keep them
        self.gap = False  # what was skipped is not what was stored: the engine has lost a part of its log

    def read(self, timeout: float | None) -> list[Piece] | None:
        """See `stream.Source`. NotFound when there is no such container (any more)."""
        if self._finished:
            raise EOFError
        connection = self._connection or self._open()
        block = connection.recv(BLOCK_BYTES, timeout)
        if block is None:
            return None
        pieces = self._messages.feed(self._chunks.feed(block))
        if self._driver != "local":
            self.replaced = self.replaced or any("\ufffd".encode() in data for _, data, _ in pieces)
        self.gap = self.gap or self._messages.broken or any(place.gap for place in self._places.values())
        if self._chunks.ended or block == b"":
            self._end_of_pass()
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
        opened = self._engine.logs(self._name, follow=self._following)
        by_lines = self._driver != "local"
        self._places = {stream: Place(cursor, by_lines) for stream, cursor in self._cursors.items()}
        self._chunks, self._messages = Chunks(), Messages(self._places)
        with self._lock:
            self._connection = opened
        if self._closed:
            opened.close()
        return opened

    def _end_of_pass(self) -> None:
        """A followed log may lack its last words, so it is read once more after the exit."""
        assert self._connection is not None
        self._connection.close()
        whole = self._exited() if self._following else self._chunks.ended
        if self._closed or not whole:
            raise LogCut(f"The log of {self._name} was cut off while it was read.")
        if self._following:
            self._cursors = {stream: place.stands for stream, place in self._places.items()}
            self._following, self._connection = False, None
        else:
            self.gap = self.gap or any(place.falls_short() for place in self._places.values())
            self._finished = True

    def _exited(self) -> bool:
        for _ in range(EXIT_SECONDS):
            if self._closed or not self._engine.inspect(self._name).running:
                break
            self._engine.wait(self._name, 1)
        return not self._closed and not self._engine.inspect(self._name).running
