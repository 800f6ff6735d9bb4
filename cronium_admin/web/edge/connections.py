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
    """An open connection. It is closed to make room for a new one, except while its request waits for a thread, has a
    thread, or follows a log."""

    def __init__(self, connections: "Connections", transport: asyncio.Transport, client: str) -> None:
        self._connections, self.transport, self.client = connections, transport, client
        self.is_member = False

    def begin(self) -> None:
        self._connections.idle_of(self).remove(self)

    def end(self) -> None:
        if self in self._connections.all:
            self._connections.idle_of(self).add(self)

    def recognize(self, member: str) -> None:
        """Its requests show the valid credential of `member`."""
        if not self.is_member:
            self.begin()
            self.client, self.is_member = member, True
            self.end()


class Idle:
    """Connections that may be closed to make room, the longest idle first."""

    def __init__(self) -> None:
        self.all: OrderedDict[Connection, None] = OrderedDict()
        self.of_client: dict[str, OrderedDict[Connection, None]] = {}

    def add(self, connection: Connection) -> None:
        self.all[connection] = None
        self.of_client.setdefault(connection.client, OrderedDict())[connection] = None

    def remove(self, connection: Connection) -> None:
        if connection in self.all:
            del self.all[connection]
            del self.of_client[connection.client][connection]
            if not self.of_client[connection.client]:
                del self.of_client[connection.client]


class Connections:
    """At most `most` open connections. Beyond that a new one closes a stranger's idle connection, or, where there is
    none, an idle connection of the member with most of them.

    A client that already has its share of the strangers' connections loses its own; otherwise the longest idle closes.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.all: set[Connection] = set()
        self.strangers, self.members = Idle(), Idle()

    def idle_of(self, connection: Connection) -> Idle:
        return self.members if connection.is_member else self.strangers

    def enter(self, transport: asyncio.Transport, client: str) -> Connection | None:
        """None when there is no room."""
        if len(self.all) >= self.most:
            oldest = self._least_needed(client)
            if oldest is None:
                return None
            self.leave(oldest)
            oldest.transport.abort()
        connection = Connection(self, transport, client)
        self.all.add(connection)
        self.strangers.add(connection)
        return connection

    def leave(self, connection: Connection) -> None:
        self.all.discard(connection)
        self.idle_of(connection).remove(connection)

    def _least_needed(self, client: str) -> Connection | None:
        own = self.strangers.of_client.get(client, OrderedDict())
        is_over = len(own) >= max(1, self.most // (len(self.strangers.of_client) + 1))
        for_room = own if is_over else self.strangers.all
        if not for_room and self.members.of_client:
            for_room = max(self.members.of_client.values(), key=len)
        return next(iter(for_room), None)
