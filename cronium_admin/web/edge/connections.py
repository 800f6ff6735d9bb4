"""The open connections of this server: their maximum, and which connection is closed to make room for a new one."""

import asyncio
import resource
from collections import OrderedDict

MAX_DESCRIPTORS = 65_536
RESERVED_SHARE = 2  # connections get one of this many descriptors; the others are for runs, logs and the database


def raise_descriptor_limit() -> int:
    """Returns the new soft limit, at most MAX_DESCRIPTORS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        soft = target
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def compute_max_connections(requested: int, descriptors: int) -> int:
    return max(16, min(requested, descriptors // RESERVED_SHARE))


class Connection:
    """An open connection. It may be closed to make room for a new one, except while its request waits for a thread, has
    a thread, or follows a log."""

    def __init__(self, connections: "ConnectionTable", transport: asyncio.Transport, client: str) -> None:
        self._connections, self.transport, self.client = connections, transport, client
        self.is_authenticated = False

    def mark_busy(self) -> None:
        self._connections.get_idle_set(self).remove(self)

    def mark_idle(self) -> None:
        if self in self._connections.all:
            self._connections.get_idle_set(self).add(self)

    def authenticate(self, member: str) -> None:
        """`member`: the id of the credential, to which the connection counts from now on instead of to its address."""
        if not self.is_authenticated:
            self.mark_busy()
            self.client, self.is_authenticated = member, True
            self.mark_idle()


class IdleConnections:
    """Connections that may be closed to make room, ordered by idle time, the longest first."""

    def __init__(self) -> None:
        self.connections: OrderedDict[Connection, None] = OrderedDict()
        self.by_client: dict[str, OrderedDict[Connection, None]] = {}

    def add(self, connection: Connection) -> None:
        self.connections[connection] = None
        self.by_client.setdefault(connection.client, OrderedDict())[connection] = None

    def remove(self, connection: Connection) -> None:
        if connection in self.connections:
            del self.connections[connection]
            del self.by_client[connection.client][connection]
            if not self.by_client[connection.client]:
                del self.by_client[connection.client]


class ConnectionTable:
    """At most `most` open connections. Beyond that a new connection closes an idle unauthenticated connection or, if
    there is none, an idle connection of the credential with most of them.

    A client that has its share of the unauthenticated connections loses one of its own; otherwise the longest idle one
    is closed.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.all: set[Connection] = set()
        self.idle_anonymous, self.idle_authenticated = IdleConnections(), IdleConnections()

    def get_idle_set(self, connection: Connection) -> IdleConnections:
        return self.idle_authenticated if connection.is_authenticated else self.idle_anonymous

    def admit(self, transport: asyncio.Transport, client: str) -> Connection | None:
        """Aborts the least needed connection if the table is full. None if every connection is needed."""
        if len(self.all) >= self.most:
            oldest = self._find_least_needed(client)
            if oldest is None:
                return None
            self.remove(oldest)
            oldest.transport.abort()
        connection = Connection(self, transport, client)
        self.all.add(connection)
        self.idle_anonymous.add(connection)
        return connection

    def remove(self, connection: Connection) -> None:
        self.all.discard(connection)
        self.get_idle_set(connection).remove(connection)

    def _find_least_needed(self, client: str) -> Connection | None:
        own_connections = self.idle_anonymous.by_client.get(client, OrderedDict())
        has_share = len(own_connections) >= max(1, self.most // (len(self.idle_anonymous.by_client) + 1))
        candidates = own_connections if has_share else self.idle_anonymous.connections
        if not candidates and self.idle_authenticated.by_client:
            candidates = max(self.idle_authenticated.by_client.values(), key=len)
        return next(iter(candidates), None)
