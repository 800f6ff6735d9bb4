"""Publishes changes of runs to the readers of their logs and pages. A message names the run and carries no content.

Messages may be lost, because every channel layer drops messages past its capacity; readers therefore also poll.
"""

import asyncio
import logging
import threading
from collections.abc import Iterable
from uuid import UUID

from channels.layers import InMemoryChannelLayer, get_channel_layer

from cronium_admin.core import metrics

log = logging.getLogger("cronium.live")
MAX_PENDING = 1000
SEND_SECONDS, PAUSE_SECONDS = 2.0, 1.0


def make_group_name(run_id: UUID | str) -> str:
    return f"run.{run_id}"


class Sender:
    """The pending groups, each at most once, and the task on one event loop that sends to them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._pending: dict[str, None] = {}  # in order
        self._is_sending = False

    def enqueue(self, names: list[str]) -> None:
        """Thread-safe, never blocks. Drops messages beyond MAX_PENDING."""
        with self._lock:
            for name in names:
                if name in self._pending or len(self._pending) < MAX_PENDING:
                    self._pending[name] = None
                else:
                    metrics.DROPPED_CHANGES.inc()
            if self._is_sending:
                return
            self._is_sending = True
        coroutine = self._send_pending()
        try:
            asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # the loop is closed: the process ends
            coroutine.close()
            self._is_sending = False

    async def _send_pending(self) -> None:
        try:
            while name := self._take_next():
                await self._send_one(name)
        except BaseException:
            self._is_sending = False
            raise

    def _take_next(self) -> str | None:
        with self._lock:
            name = next(iter(self._pending), None)
            if name is None:
                self._is_sending = False
            else:
                del self._pending[name]
            return name

    async def _send_one(self, name: str) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await get_channel_layer().group_send(name, {"type": "run.news"})
        except Exception as error:  # noqa: BLE001 - after any error the readers poll
            with self._lock:
                dropped = 1 + len(self._pending)
                self._pending.clear()
            metrics.DROPPED_CHANGES.inc(dropped)
            about = {"run_id": name.removeprefix(make_group_name(""))}
            log.warning("a change was not published (%s); the readers poll", type(error).__name__, extra=about)
            await asyncio.sleep(PAUSE_SECONDS)


_sender: Sender | None = None
_lock = threading.Lock()


def bind_loop(loop: asyncio.AbstractEventLoop | None) -> None:
    # The in-memory layer belongs to the server's event loop.
    global _sender
    with _lock:
        _sender = Sender(loop) if loop else None


def _get_sender() -> Sender:
    # A process without a server gets a loop in a thread, which is started once.
    global _sender
    with _lock:
        if _sender is None:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="live", daemon=True).start()
            _sender = Sender(loop)
        return _sender


def publish_changed(run_ids: Iterable[UUID | str]) -> None:
    """Notifies the readers of these runs, which then read again. Thread-safe, never blocks."""
    names = [make_group_name(run_id) for run_id in run_ids]
    layer = get_channel_layer()
    if isinstance(layer, InMemoryChannelLayer):
        # All readers are in this process. One that subscribes now reads what was committed before.
        names = [name for name in names if name in layer.groups]
    if names:
        _get_sender().enqueue(names)
