"""A bounded number of slots with a bounded queue that serves clients in turn. Lives in one event loop."""

import asyncio
from collections import OrderedDict, deque


class Busy(Exception):
    """No slot became free in time, or the queue is full."""


class Gate:
    """`slots` at once; `waiting` more wait for at most `seconds`, of one client at most `per_client`.

    A free slot goes to the clients in turn, so a client with many requests delays its own and not those of others.
    """

    def __init__(self, slots: int, waiting: int, per_client: int, seconds: float) -> None:
        self._free, self._seconds = slots, seconds
        self._max_waiting, self._per_client = waiting, per_client
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0

    @property
    def is_full(self) -> bool:
        """Whether a request of a new client would be refused now."""
        return self._waiting >= self._max_waiting

    async def acquire(self, client: str) -> None:
        """Take a slot; `release` gives it back. Raises Busy."""
        if self._free > 0:
            self._free -= 1
            return
        if self.is_full or len(self._queues.get(client, ())) >= self._per_client:
            raise Busy
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(client, deque()).append(turn)
        self._waiting += 1
        try:
            await asyncio.wait_for(asyncio.shield(turn), self._seconds)
        except BaseException as error:
            if turn.done():
                self.release()  # the slot came at the same moment
            else:
                self._leave(client, turn)
            if isinstance(error, TimeoutError):
                raise Busy from None
            raise

    def _leave(self, client: str, turn: "asyncio.Future[None]") -> None:
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
