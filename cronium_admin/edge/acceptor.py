"""Accepts connections. A request that its first bytes refuse is answered here, without a transport."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from cronium_admin.edge import answers
from cronium_admin.edge.guard import Guard

# Connections that wait in the kernel; seconds after which one that has sent nothing is accepted.
BACKLOG, SILENT_SECONDS = 4096, 10
TURN_SECONDS = 0.005  # of accepting; then the event loop serves open connections
RETRY_SECONDS = 1.0  # after the system had no descriptor
PEEKED = 16 * 1024


def listen(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on all addresses that `host` means. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
            listeners.append(listener)
            listener.setblocking(False)
            # Accepted sockets inherit it. asyncio sets it only on sockets made with a protocol number, and without it
            # the body of a page waits some 40 ms until the client has acknowledged the head.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_DEFER_ACCEPT"):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENT_SECONDS)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


class Acceptor:
    """Accepts the connections of one listening socket in the running event loop, from `open` to `close`."""

    def __init__(self, listener: socket.socket, guard: Guard, make_protocol: Callable[[str], asyncio.Protocol]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener, self._guard, self._make_protocol = listener, guard, make_protocol
        self._opening: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        if self._retry:
            self._retry.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    def _accept(self) -> None:
        end = time.monotonic() + TURN_SECONDS
        while time.monotonic() < end:
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._loop.call_exception_handler({"message": "accepting a connection failed", "exception": error})
                self._loop.remove_reader(self._listener)
                self._retry = self._loop.call_later(RETRY_SECONDS, self.open)
                return
            self._take(connection, address[0])

    def _take(self, connection: socket.socket, address: str) -> None:
        """Let the connection in or refuse it. One that its client has closed is closed."""
        try:
            begun = connection.recv(PEEKED, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            if begun and not self._guard.refuses(begun, address):
                self._let_in(connection, self._guard.member(begun))
                return
            if begun:
                connection.recv(PEEKED, socket.MSG_DONTWAIT)  # closed with bytes unread, it would lose the answer
                connection.send(answers.raw_busy(), socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._let_in(connection, "")  # nothing has come yet
            return
        except OSError:
            pass
        connection.close()

    def _let_in(self, connection: socket.socket, member: str) -> None:
        connection.setblocking(False)
        task = self._loop.create_task(self._connect(connection, member))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, connection: socket.socket, member: str) -> None:
        with suppress(OSError):  # its client has left
            await self._loop.connect_accepted_socket(lambda: self._make_protocol(member), connection)
