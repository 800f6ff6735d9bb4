"""A bounded number of slots with a bounded queue that serves clients in turn. Lives in one event loop."""

import asyncio
from collections import OrderedDict, deque


class QueueFull(Exception):
    """No slot became free in time, or the queue is full."""


class FairSemaphore:
    """`slots` at once; `waiting` more wait for at most `seconds`, of one client at most `per_client`.

    A free slot goes to the clients in turn, so a client with many requests delays its own and not those of others. In a
    full queue a client with few requests takes a place of the client with most.
    """

    def __init__(self, slots: int, waiting: int, per_client: int, seconds: float) -> None:
        self._free, self._seconds = slots, seconds
        self._max_waiting, self._per_client = waiting, per_client
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0

    def has_room(self, client: str) -> bool:
        """Whether a request of this client would wait or be served, and not be refused."""
        if self._free > 0:
            return True
        own = len(self._queues.get(client, ()))
        return own < self._per_client and (self._waiting < self._max_waiting or own + 1 < self._find_longest_queue())

    def _find_longest_queue(self) -> int:
        return max(map(len, self._queues.values()), default=0)

    async def acquire(self, client: str) -> None:
        """Take a slot; `release` gives it back. Raises Busy."""
        if self._free > 0:
            self._free -= 1
            return
        if not self.has_room(client):
            raise QueueFull
        if self._waiting >= self._max_waiting:
            self._make_room()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(client, deque()).append(turn)
        self._waiting += 1
        try:
            await asyncio.wait_for(asyncio.shield(turn), self._seconds)
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception():
                pass  # another client's request took its place
            elif turn.done():
                self.release()  # the slot came at the same moment
            else:
                self._remove_waiter(client, turn)
            if isinstance(error, TimeoutError):
                raise QueueFull from None
            raise

    def _make_room(self) -> None:
        """The client with most requests in the full queue loses the last of them."""
        queue = max(self._queues.values(), key=len)
        queue[-1].set_exception(QueueFull())
        client = next(client for client, found in self._queues.items() if found is queue)
        self._remove_waiter(client, queue[-1])

    def _remove_waiter(self, client: str, turn: "asyncio.Future[None]") -> None:
        self._waiting -= 1
        queue = self._queues[client]
        queue.remove(turn)
        if not queue:
            del self._queues[client]

    def release(self) -> None:
        """Give a slot back: to the client whose turn it is, if one waits."""
        if not self._queues:
            self._free += 1
            return
        client, queue = self._queues.popitem(last=False)
        turn = queue.popleft()
        if queue:
            self._queues[client] = queue
        self._waiting -= 1
        turn.set_result(None)
