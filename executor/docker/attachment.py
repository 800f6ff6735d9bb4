"""Connections to a container's streams and log. Does not interpret the bytes."""

import errno
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from executor.docker.errors import EngineUnreachable

T = TypeVar("T")
SEND_SECONDS = 30


class Attachment:
    """A connection to a container's streams or log. One reader, one writer; `close` from any thread.

    `begun` holds bytes that were received before the connection was taken over; `recv` returns them first. `response`
    is the HTTP response that the connection comes from; it is closed together with the connection.
    """

    def __init__(self, raw: Any, begun: bytes = b"", response: Any = None) -> None:
        self._keep = raw  # references the HTTP response; its garbage collection would close the socket
        self._response = response
        self._begun = begun
        self._count = threading.Lock()
        self._users, self._is_closed = 0, False
        self.is_broken = False  # the stream ended without an end from the other side
        self._socket: socket.socket = getattr(raw, "_sock", raw)
        self._socket.settimeout(None)

    def recv(self, size: int, timeout: float | None) -> bytes | None:
        """Up to `size` bytes; b"" at the end of the stream; None after `timeout` seconds without data."""
        if self._begun:
            begun, self._begun = self._begun, b""
            return begun
        try:
            with self._hold_open():
                return self._recv(size, timeout)
        except (TimeoutError, BlockingIOError) as error:
            if error.errno != errno.ETIMEDOUT:  # the kernel's error for a lost peer
                return None
        except (OSError, ValueError):  # closed by another thread, or cut
            pass
        self.is_broken = True
        return b""

    def _recv(self, size: int, timeout: float | None) -> bytes:
        self._socket.settimeout(timeout)
        return self._socket.recv(size)

    def send(self, data: bytes) -> None:
        try:
            with self._hold_open():
                self._send(data)
        except (OSError, ValueError) as error:
            raise EngineUnreachable(f"The connection to the container broke: {error}.") from error

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(SEND_SECONDS)
        self._socket.sendall(data)

    def is_at_end(self) -> bool:
        """Whether the other side has ended the stream, or the connection is closed. Reads nothing and does not wait."""
        try:
            with self._hold_open():
                poll = select.poll()
                poll.register(self._socket, select.POLLRDHUP)
                return bool(poll.poll(0))
        except (OSError, ValueError):
            return True

    def close_write(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close both directions and wake the reader. Idempotent."""
        with suppress(OSError):
            # Not ssl's own `shutdown`: after that the reader would take encrypted bytes for text.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        with self._count:
            free, self._is_closed = not (self._is_closed or self._users), True
        if free:
            self._close_all()

    @contextmanager
    def _hold_open(self) -> Iterator[None]:
        # A new connection could reuse the number of a closed descriptor, and this reader would then read its bytes.
        with self._count:
            if self._is_closed:
                raise ValueError("it is closed")
            self._users += 1
        try:
            yield
        finally:
            with self._count:
                self._users -= 1
                free = self._is_closed and not self._users
            if free:
                self._close_all()

    def _close_all(self) -> None:
        # The response too: the garbage collector would close its parts in an order that fails.
        for connection in (self._response, self._keep, self._socket):
            with suppress(OSError, ValueError):
                if connection is not None:
                    connection.close()


class TlsAttachment(Attachment):
    """A connection over TLS. Both directions share one TLS state: reader and writer lock it for each operation and wait
    for the socket without the lock."""

    def __init__(self, raw: Any, begun: bytes = b"", response: Any = None) -> None:
        super().__init__(raw, begun, response)
        self._socket.setblocking(False)
        self._turn = threading.Lock()

    def _recv(self, size: int, timeout: float | None) -> bytes:
        return self._retry_until_ready(lambda: self._socket.recv(size), timeout)

    def _send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            part = left
            left = left[self._retry_until_ready(lambda: self._socket.send(part), SEND_SECONDS) :]  # noqa: B023 - called at once

    def _retry_until_ready(self, operation: Callable[[], T], seconds: float | None) -> T:
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            with self._turn:
                try:
                    return operation()
                except ssl.SSLWantReadError:
                    event = select.POLLIN
                except ssl.SSLWantWriteError:
                    event = select.POLLOUT
            poll = select.poll()
            poll.register(self._socket, event)
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            if not poll.poll(timeout):
                raise TimeoutError

    def close_write(self) -> None:
        with suppress(OSError, ValueError), self._turn:
            self._socket.unwrap()  # type: ignore[attr-defined]


class SplitAttachment:
    """One attachment for each direction. With a single connection, an engine that fails to write to an exited container
    also stops reading from it, and the last output is lost."""

    def __init__(self, output: Attachment, stdin: Attachment) -> None:
        self._output, self._stdin = output, stdin

    def recv(self, size: int, timeout: float | None) -> bytes | None:
        return self._output.recv(size, timeout)

    def send(self, data: bytes) -> None:
        self._stdin.send(data)

    def close(self) -> None:
        self._stdin.close()
        self._output.close()


def take_over_connection(response: Any, raw: Any) -> Attachment:
    # The parser may have read past the headers.
    buffer = response.raw._fp.fp
    connection = getattr(raw, "_sock", raw)
    connection.settimeout(0)
    begun = b""
    with suppress(OSError):  # over TLS, without data available
        begun = buffer.peek()
    kind = TlsAttachment if isinstance(connection, ssl.SSLSocket) else Attachment
    return kind(raw, begun, response)
