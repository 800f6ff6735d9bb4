"""Accepts connections, and answers refused requests without a transport."""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from cronium_admin.web.edge import answers
from cronium_admin.web.edge.guard import Guard

# The kernel's queue; seconds after which the kernel hands over a connection that has sent nothing.
BACKLOG, SILENT_SECONDS = 4096, 10
TURN_SECONDS = 0.005  # the longest time to accept before the event loop serves open connections
RETRY_SECONDS = 1.0  # after an accept failed for lack of descriptors
PEEK_BYTES = 16 * 1024
# Unauthenticated connections that wait for a transport, and how many get one per iteration of the event loop.
MAX_QUEUED, ADMITTED_PER_TURN = 64, 8

Accepted: TypeAlias = tuple[socket.socket, str]  # a connection and its client's address


def open_listeners(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on all addresses of `host`. Raises OSError."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((info[0], info[4]) for info in addresses):
            listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
            listeners.append(listener)
            listener.setblocking(False)
            # Accepted sockets inherit TCP_NODELAY. asyncio sets it only on sockets with a protocol number, and without
            # it the body of a page waits about 40 ms for the client's acknowledgement of the head.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_DEFER_ACCEPT"):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENT_SECONDS)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


class Acceptor:
    """Accepts the connections of one listening socket in the running event loop, from `open` to `close`.

    Accepting is cheap, a transport is expensive. Authenticated connections get a transport at once. The others queue
    for it, a few per iteration of the event loop, so that an authenticated connection behind thousands of others is
    found quickly.
    """

    def __init__(self, listener: socket.socket, guard: Guard, make_protocol: Callable[[str], asyncio.Protocol]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener, self._guard, self._make_protocol = listener, guard, make_protocol
        self._opening: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None
        # Unauthenticated connections: those with a complete head are served before the others.
        self._whole, self._partial = deque[Accepted](), deque[Accepted]()
        self._turn: asyncio.Handle | None = None

    def open(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listener, self._accept_connections)

    def close(self) -> None:
        for handle in (self._retry, self._turn):
            if handle:
                handle.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        for connection, _ in (*self._whole, *self._partial):
            connection.close()

    def _accept_connections(self) -> None:
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
            connection.setblocking(False)
            self._handle_connection(connection, address[0])

    def _handle_connection(self, connection: socket.socket, address: str) -> None:
        first_bytes = _peek_bytes(connection)
        if first_bytes and self._guard.is_refused(first_bytes, address):
            _send_busy(connection)
        elif first_bytes and (member := self._guard.find_credential_id(first_bytes)):
            self._admit(connection, member)
        elif first_bytes == b"":
            connection.close()
        else:
            self._enqueue(
                (connection, address), self._whole if first_bytes and b"\r\n\r\n" in first_bytes else self._partial
            )

    def _enqueue(self, accepted: Accepted, queue: deque[Accepted]) -> None:
        # Beyond MAX_QUEUED, the first connection of a queue is admitted or refused, at first of those without a head.
        queue.append(accepted)
        if len(self._whole) + len(self._partial) > MAX_QUEUED:
            self._admit_or_refuse(*(self._partial or self._whole).popleft())
        if self._turn is None:
            self._turn = self._loop.call_soon(self._admit_queued)

    def _admit_or_refuse(self, connection: socket.socket, address: str) -> None:
        first_bytes = _peek_bytes(connection)
        member = self._guard.find_credential_id(first_bytes) if first_bytes else ""
        if first_bytes and member and not self._guard.is_refused(first_bytes, address):
            self._admit(connection, member)
        else:
            _send_busy(connection)

    def _admit_queued(self) -> None:
        for _ in range(ADMITTED_PER_TURN):
            if not (queue := self._whole or self._partial):
                break
            is_checked = queue is self._whole
            connection, address = queue.popleft()
            first_bytes = _peek_bytes(connection)
            if first_bytes == b"":
                connection.close()
            elif first_bytes and not is_checked and self._guard.is_refused(first_bytes, address):
                _send_busy(connection)
            else:
                self._admit(connection, self._guard.find_credential_id(first_bytes or b""))
        self._turn = self._loop.call_soon(self._admit_queued) if self._whole or self._partial else None

    def _admit(self, connection: socket.socket, member: str) -> None:
        task = self._loop.create_task(self._open_transport(connection, member))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_transport(self, connection: socket.socket, member: str) -> None:
        with suppress(OSError):  # the client has disconnected
            await self._loop.connect_accepted_socket(lambda: self._make_protocol(member), connection)


def _peek_bytes(connection: socket.socket) -> bytes | None:
    """The received bytes, which stay unread; None if there are none yet, empty if the client has closed."""
    try:
        return connection.recv(PEEK_BYTES, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _send_busy(connection: socket.socket) -> None:
    with suppress(OSError):
        with suppress(BlockingIOError):
            connection.recv(PEEK_BYTES)  # closing with unread bytes resets the connection, and the answer is lost
        connection.send(answers.build_raw_busy())
    connection.close()
