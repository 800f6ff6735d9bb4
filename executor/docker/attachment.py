"""A container's streams as one connection; knows nothing of what is said over them."""

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

    `begun` is what was received before the connection was taken over: `recv` gives it first. `response` is the answer
    that it was taken from, and is closed with it.
    """

    def __init__(self, raw: Any, begun: bytes = b"", response: Any = None) -> None:
        self._keep = raw  # holds the HTTP response, whose collection would close the socket
        self._response = response
        self._begun = begun
        self._count = threading.Lock()
        self._users, self._is_closed = 0, False
        self.is_broken = False  # the stream ended otherwise than by the other side's word
        self._socket: socket.socket = getattr(raw, "_sock", raw)
        self._socket.settimeout(None)

    def recv(self, size: int, timeout: float | None) -> bytes | None:
        """Up to `size` bytes; b"" at the end of the stream; None when `timeout` seconds brought nothing."""
        if self._begun:
            begun, self._begun = self._begun, b""
            return begun
        try:
            with self._hold_open():
                return self._recv(size, timeout)
        except (TimeoutError, BlockingIOError) as error:
            if error.errno != errno.ETIMEDOUT:  # the system's own word for a peer that is gone
                return None
        except (OSError, ValueError):  # closed by another thread, or cut
            pass
        self.is_broken = True
        return b""

    def _recv(self, size: int, timeout: float | None) -> bytes:
        self._socket.settimeout(timeout)
        return self._socket.recv(size)

    def send(self, data: bytes) -> None:
        """All of `data`, or EngineUnreachable."""
        try:
            with self._hold_open():
                self._send(data)
        except (OSError, ValueError) as error:
            raise EngineUnreachable(f"The connection to the container broke: {error}.") from error

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(SEND_SECONDS)
        self._socket.sendall(data)

    def close_write(self) -> None:
        """End the container's standard input and keep reading."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End both directions and wake the reader. Twice does no harm."""
        with suppress(OSError):
            # Past ssl's own, which would have the reader take what is encrypted for text.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        with self._count:
            free, self._is_closed = not (self._is_closed or self._users), True
        if free:
            self._close_all()

    @contextmanager
    def _hold_open(self) -> Iterator[None]:
        """Its descriptor is not given back meanwhile: another connection would get its number, and this reader its
        bytes."""
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
        """Close the response as well: left to the garbage collector, its parts are closed in an order that fails."""
        for one in (self._response, self._keep, self._socket):
            with suppress(OSError, ValueError):
                if one is not None:
                    one.close()


class TlsAttachment(Attachment):
    """Over TLS, whose one state serves both directions: reader and writer take turns at it, and wait outside."""

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

    def _retry_until_ready(self, act: Callable[[], T], seconds: float | None) -> T:
        """Do it as soon as the connection allows; TimeoutError after `seconds`."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            with self._turn:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    wanted = select.POLLIN
                except ssl.SSLWantWriteError:
                    wanted = select.POLLOUT
            poll = select.poll()
            poll.register(self._socket, wanted)
            left = None if until is None else max(0.0, until - time.monotonic()) * 1000
            if not poll.poll(left):
                raise TimeoutError

    def close_write(self) -> None:
        """TLS says the end itself, and does not wait here for the other side's."""
        with suppress(OSError, ValueError), self._turn:
            self._socket.unwrap()  # type: ignore[attr-defined]


class SplitAttachment:
    """An attachment for each direction: an engine that can't write to a container that has ended stops reading from
    it over the same connection, and its last words are lost."""

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
    """The connection whose answer `response` has begun, with what its parser has read ahead of the headers."""
    buffer = response.raw._fp.fp
    connection = getattr(raw, "_sock", raw)
    connection.settimeout(0)
    begun = b""
    with suppress(OSError):  # over TLS, with nothing to be had at once
        begun = buffer.peek()
    kind = TlsAttachment if isinstance(connection, ssl.SSLSocket) else Attachment
    return kind(raw, begun, response)
