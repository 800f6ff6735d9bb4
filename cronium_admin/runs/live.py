"""Tells whoever watches a run that there is something new to read. Never carries the news itself.

A nudge may be lost (every channel layer drops past its capacity): readers also look by themselves.
"""

import asyncio
import logging
import threading
from collections.abc import Iterable
from uuid import UUID

from channels.layers import get_channel_layer

from cronium_admin import counters

log = logging.getLogger("cronium.live")
_loop: asyncio.AbstractEventLoop | None = None
_lock = threading.Lock()


def group(run_id: UUID | str) -> str:
    """The channel-layer group of one run."""
    return f"run.{run_id}"


def bind(loop: asyncio.AbstractEventLoop | None) -> None:
    """Send from this loop from now on: the in-memory layer lives on the server's own."""
    global _loop
    _loop = loop


def _sending_loop() -> asyncio.AbstractEventLoop:
    """The bound loop, or one of our own in a thread: made once, for processes without a server."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="live", daemon=True).start()
        return _loop


async def _send(names: list[str]) -> None:
    layer = get_channel_layer()
    for name in names:
        try:
            await layer.group_send(name, {"type": "run.news"})
        except Exception as error:  # noqa: BLE001 - whatever it is, readers look by themselves
            counters.count("cronium_nudges_dropped_total")
            about = {"run_id": name.removeprefix(group(""))}
            log.warning("a nudge was not sent (%s); its readers look by themselves", type(error).__name__, extra=about)


def nudge(run_ids: Iterable[UUID | str]) -> None:
    """From any thread, without waiting: "read again" to the readers of these runs."""
    names = [group(run_id) for run_id in run_ids]
    if not names:
        return
    coroutine = _send(names)
    try:
        asyncio.run_coroutine_threadsafe(coroutine, _sending_loop())
    except RuntimeError:  # the loop has closed: the process is going down
        coroutine.close()
