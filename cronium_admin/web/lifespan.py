"""The server's ASGI lifespan: runs hooks at start and at shutdown. Django's own application has no lifespan."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from cronium_admin.core import notify
from cronium_admin.core.database.threads import close_connections

log = logging.getLogger("cronium.process")
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

# Called off the event loop; `serve` adds its embedded worker here.
on_start: list[Callable[[], object]] = []
on_stop: list[Callable[[], object]] = []


def _call_hook(hook: Callable[[], object]) -> None:
    # The thread belongs to the event loop's pool and outlives the call, so its connections are closed.
    try:
        hook()
    finally:
        close_connections()


async def serve_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            notify.bind_loop(asyncio.get_running_loop())
            try:
                for hook in on_start:
                    await asyncio.to_thread(_call_hook, hook)
            except Exception as error:  # noqa: BLE001 - the server logs it and ends
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            for hook in on_stop:
                try:
                    await asyncio.to_thread(_call_hook, hook)
                except Exception:
                    log.exception("a shutdown hook failed; the remaining hooks run")
            notify.bind_loop(None)
            await send({"type": "lifespan.shutdown.complete"})
            return
