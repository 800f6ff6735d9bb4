"""A semaphore with a bounded queue that serves clients in turn. Belongs to one event loop."""

import asyncio
from collections import OrderedDict, deque


class QueueFull(Exception):
    """No slot became free in time, or the queue is full."""


class FairSemaphore:
    """`slots` requests at once; up to `waiting` requests queue for at most `seconds`, at most `per_client` per client.

    Free slots go to the clients in turn, so a client with many requests delays its own requests only. If the queue is
    full, a client with few requests replaces a request of the client with most.
    """

    def __init__(self, slots: int, waiting: int, per_client: int, seconds: float) -> None:
        self._free, self._seconds = slots, seconds
        self._max_waiting, self._per_client = waiting, per_client
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0

    def has_room(self, client: str) -> bool:
        if self._free > 0:
            return True
        queued = len(self._queues.get(client, ()))
        return queued < self._per_client and (
            self._waiting < self._max_waiting or queued + 1 < self._find_longest_queue()
        )

    def _find_longest_queue(self) -> int:
        return max(map(len, self._queues.values()), default=0)

    async def acquire(self, client: str) -> None:
        """Takes a slot, which the caller returns with `release`. Raises QueueFull."""
        if self._free > 0:
            self._free -= 1
            return
        if not self.has_room(client):
            raise QueueFull
        if self._waiting >= self._max_waiting:
            self._make_room()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(client, deque()).append(waiter)
        self._waiting += 1
        try:
            await asyncio.wait_for(asyncio.shield(waiter), self._seconds)
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception():
                pass  # a request of another client replaced this one
            elif waiter.done():
                self.release()  # the slot was assigned at the same moment
            else:
                self._remove_waiter(client, waiter)
            if isinstance(error, TimeoutError):
                raise QueueFull from None
            raise

    def _make_room(self) -> None:
        # The last request of the client with most requests in the queue leaves.
        queue = max(self._queues.values(), key=len)
        queue[-1].set_exception(QueueFull())
        client = next(client for client, other in self._queues.items() if other is queue)
        self._remove_waiter(client, queue[-1])

    def _remove_waiter(self, client: str, waiter: "asyncio.Future[None]") -> None:
        self._waiting -= 1
        queue = self._queues[client]
        queue.remove(waiter)
        if not queue:
            del self._queues[client]

    def release(self) -> None:
        if not self._queues:
            self._free += 1
            return
        client, queue = self._queues.popitem(last=False)
        waiter = queue.popleft()
        if queue:
            self._queues[client] = queue
        self._waiting -= 1
        waiter.set_result(None)
