"""A container's streams as one connection; knows nothing of what is said over them."""

import socket
from contextlib import suppress
from typing import Any

from executor.errors import EngineUnreachable

SEND_SECONDS = 30


class Attachment:
    """A connection to a container's streams or log. One reader, one writer; `close` from any thread.

    `begun` is what was received before the connection was taken over: `recv` gives it first.
    """

    def __init__(self, raw: Any, begun: bytes = b"") -> None:
        self._keep = raw  # holds the HTTP response, whose collection would close the socket
        self._begun = begun
        self.broken = False  # the stream ended otherwise than by the other side's word
        self._socket: socket.socket = getattr(raw, "_sock", raw)
        self._socket.settimeout(None)

    def recv(self, size: int, timeout: float | None) -> bytes | None:
        """Up to `size` bytes; b"" at the end of the stream; None when `timeout` seconds brought nothing."""
        if self._begun:
            begun, self._begun = self._begun, b""
            return begun
        try:
            self._socket.settimeout(timeout)
            return self._socket.recv(size)
        except (TimeoutError, BlockingIOError):
            return None
        except (OSError, ValueError):  # closed by another thread, or cut
            self.broken = True
            return b""

    def send(self, data: bytes) -> None:
        """All of `data`, or EngineUnreachable."""
        try:
            self._socket.settimeout(SEND_SECONDS)
            self._socket.sendall(data)
        except (OSError, ValueError) as error:
            raise EngineUnreachable(f"The connection to the container broke: {error}.") from error

    def close_write(self) -> None:
        """End the container's standard input and keep reading."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End both directions and wake the reader. Twice does no harm."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self._socket.close()


def taken_over(response: Any, raw: Any) -> Attachment:
    """The connection whose answer `response` has begun, with what its parser has read ahead of the headers."""
    buffer = response.raw._fp.fp
    begun = bytes(getattr(buffer, "_rbuffer", b""))  # over SSH
    if hasattr(buffer, "peek"):
        getattr(raw, "_sock", raw).settimeout(0)
        with suppress(OSError):  # over TLS, with nothing to be had at once
            begun = buffer.peek()
    return Attachment(raw, begun)
