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

    def __init__(self, connections: "Connections", transport: asyncio.Transport) -> None:
        self._connections, self.transport = connections, transport
        self.is_member = False

    def begin(self) -> None:
        self._connections.idle.pop(self, None)

    def end(self) -> None:
        if not self.is_member and self in self._connections.all:
            self._connections.idle[self] = None


class Connections:
    """`most` at once. Beyond it the stranger's connection that has been idle longest makes room."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.all: set[Connection] = set()
        self.idle: OrderedDict[Connection, None] = OrderedDict()

    def enter(self, transport: asyncio.Transport) -> Connection | None:
        """None when there is no room."""
        if len(self.all) >= self.most:
            if not self.idle:
                return None
            oldest, _ = self.idle.popitem(last=False)
            self.all.discard(oldest)
            oldest.transport.abort()
        connection = Connection(self, transport)
        self.all.add(connection)
        self.idle[connection] = None
        return connection

    def leave(self, connection: Connection) -> None:
        self.all.discard(connection)
        self.idle.pop(connection, None)
