"""Allocates one /29 per network from the configured pool, because the engine's default pools end at 30 networks."""

import random
import threading
from collections.abc import Iterable
from ipaddress import IPv4Network

PREFIX = 29


class SubnetPool:
    """The /29 subnets of a pool. Thread-safe.

    A subnet is held by a run of this process, occupied by a foreign network of the engine, or free. Another process on
    the same engine may use a free subnet first: the engine then refuses it, and the caller calls `refresh` and takes
    the next one.
    """

    def __init__(self, pool: IPv4Network) -> None:
        self._pool = pool
        self._size: int = 2 ** (PREFIX - pool.prefixlen)
        # A random start, so that two processes on one engine rarely collide.
        self._next = random.randrange(self._size)  # noqa: S311
        self._held: set[int] = set()
        self._occupied: set[int] = set()
        self._lock = threading.Lock()

    def take(self) -> IPv4Network | None:
        with self._lock:
            for step in range(self._size):
                index = (self._next + step) % self._size
                if index not in self._held and index not in self._occupied:
                    self._held.add(index)
                    self._next = index + 1
                    base = int(self._pool.network_address) + index * 2 ** (32 - PREFIX)
                    return IPv4Network((base, PREFIX))
        return None

    def count_free(self) -> int:
        with self._lock:
            return self._size - len(self._held | self._occupied)

    def reserve(self, subnet: IPv4Network) -> None:
        with self._lock:
            if subnet.subnet_of(self._pool) and subnet.prefixlen == PREFIX:
                self._held.add(self._find_index(subnet))

    def release(self, subnet: IPv4Network) -> None:
        """Free a subnet that no network of the run uses. Idempotent."""
        with self._lock:
            self._held.discard(self._find_index(subnet))
            self._occupied.discard(self._find_index(subnet))

    def abandon(self, subnet: IPv4Network) -> None:
        """Stop holding a subnet whose network may still exist. It is free once `refresh` does not find it."""
        with self._lock:
            if (index := self._find_index(subnet)) in self._held:
                self._held.discard(index)
                self._occupied.add(index)

    def refresh(self, subnets: Iterable[IPv4Network]) -> None:
        occupied: set[int] = set()
        for subnet in subnets:
            if subnet.overlaps(self._pool):
                first = max(int(subnet.network_address), int(self._pool.network_address))
                last = min(int(subnet.broadcast_address), int(self._pool.broadcast_address))
                occupied.update(range(self._compute_index(first), self._compute_index(last) + 1))
        with self._lock:
            self._occupied = occupied

    def _find_index(self, subnet: IPv4Network) -> int:
        return self._compute_index(int(subnet.network_address))

    def _compute_index(self, address: int) -> int:
        return (address - int(self._pool.network_address)) >> (32 - PREFIX)
