"""The ASGI application: HTTP, static files, WebSockets, and the lifespan that starts an embedded worker."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")

from django.core.asgi import get_asgi_application

_django = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 - after Django is set up
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - after Django is set up

from cronium_admin.logs.urls import websocket_urlpatterns  # noqa: E402 - after Django is set up
from cronium_admin.runs import live  # noqa: E402 - after Django is set up

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

# What to do when the server has started and before it ends, off the event loop; set by `serve`.
on_start: list[Callable[[], object]] = []
on_stop: list[Callable[[], object]] = []

_application = ProtocolTypeRouter({"http": _django, "websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns))})


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    else:
        await _application(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Django's own application knows no lifespan, so it ends here."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            live.bind(asyncio.get_running_loop())
            try:
                for hook in on_start:
                    await asyncio.to_thread(hook)
            except Exception as error:  # noqa: BLE001 - the server says it and ends
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            for hook in on_stop:
                await asyncio.to_thread(hook)
            live.bind(None)
            await send({"type": "lifespan.shutdown.complete"})
            return
