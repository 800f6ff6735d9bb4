"""Hands out one /29 a run from the pool: the engine's own pools end at thirty networks."""

import random
import threading
from ipaddress import IPv4Network

PREFIX = 29


class SubnetPool:
    """Free /29 subnets of `pool`. Thread-safe. Another process on the same engine may take one first:
    the engine then refuses it, and the caller asks for the next."""

    def __init__(self, pool: IPv4Network) -> None:
        self._pool = pool
        self._size = 2 ** (PREFIX - pool.prefixlen)
        # Begin somewhere, so that two processes on one engine rarely meet.
        self._next = random.randrange(self._size)  # noqa: S311
        self._taken: set[int] = set()
        self._lock = threading.Lock()

    def take(self) -> IPv4Network | None:
        """A subnet nobody here has; None when all are taken."""
        with self._lock:
            for step in range(self._size):
                index = (self._next + step) % self._size
                if index not in self._taken:
                    self._taken.add(index)
                    self._next = index + 1
                    base = int(self._pool.network_address) + index * 2 ** (32 - PREFIX)
                    return IPv4Network((base, PREFIX))
        return None

    def reserve(self, subnet: IPv4Network) -> None:
        """Take one that a run of an earlier process stands on."""
        with self._lock:
            if subnet.subnet_of(self._pool) and subnet.prefixlen == PREFIX:
                self._taken.add(self._index(subnet))

    def give_back(self, subnet: IPv4Network) -> None:
        """Free it. Twice does no harm."""
        with self._lock:
            self._taken.discard(self._index(subnet))

    def _index(self, subnet: IPv4Network) -> int:
        offset = int(subnet.network_address) - int(self._pool.network_address)
        return offset >> (32 - PREFIX)
