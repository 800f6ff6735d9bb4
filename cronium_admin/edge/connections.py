"""The open connections of this server: how many there may be, and which one ends when another comes."""

import asyncio
import resource
from collections import OrderedDict

MAX_DESCRIPTORS = 65_536
RESERVED_SHARE = 2  # of the descriptors one in so many is for connections; the rest is for runs, logs and database


def raise_descriptor_limit() -> int:
    """Ask the system for as many descriptors as it allows; how many there may be now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def most_connections(wanted: int, descriptors: int) -> int:
    return max(16, min(wanted, descriptors // RESERVED_SHARE))


class Connection:
    """One connection. While a request of it is served, or once its holder is known, it makes no room for others."""

    def __init__(self, connections: "Connections", transport: asyncio.Transport, client: str) -> None:
        self._connections, self.transport, self.client = connections, transport, client
        self.is_member = False

    def begin(self) -> None:
        self._connections.forget_idle(self)

    def end(self) -> None:
        if not self.is_member and self in self._connections.all:
            self._connections.add_idle(self)


class Connections:
    """`most` at once. Beyond it the stranger's connection that has been idle longest makes room.

    A client with as many idle ones as its share of all makes room itself.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.all: set[Connection] = set()
        self.idle: OrderedDict[Connection, None] = OrderedDict()
        self._of_client: dict[str, OrderedDict[Connection, None]] = {}

    def enter(self, transport: asyncio.Transport, client: str) -> Connection | None:
        """None when there is no room."""
        if len(self.all) >= self.most:
            if not self.idle:
                return None
            own = self._of_client.get(client, OrderedDict())
            is_over = len(own) >= max(1, self.most // (len(self._of_client) + 1))
            oldest = next(iter(own if is_over else self.idle))
            self.leave(oldest)
            oldest.transport.abort()
        connection = Connection(self, transport, client)
        self.all.add(connection)
        self.add_idle(connection)
        return connection

    def leave(self, connection: Connection) -> None:
        self.all.discard(connection)
        self.forget_idle(connection)

    def add_idle(self, connection: Connection) -> None:
        self.idle[connection] = None
        self._of_client.setdefault(connection.client, OrderedDict())[connection] = None

    def forget_idle(self, connection: Connection) -> None:
        self.idle.pop(connection, None)
        if own := self._of_client.get(connection.client):
            own.pop(connection, None)
            if not own:
                del self._of_client[connection.client]
