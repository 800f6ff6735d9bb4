"""The ASGI application: HTTP, static files, WebSockets, lifespan. Wiring only."""

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")

from django.core.asgi import get_asgi_application

_django = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 - after Django is set up
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - after Django is set up

from cronium_admin.hosts import lifespan  # noqa: E402 - after Django is set up
from cronium_admin.logs.urls import websocket_urlpatterns  # noqa: E402 - after Django is set up

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

_application = ProtocolTypeRouter({"http": _django, "websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns))})


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan.run(receive, send)
    else:
        await _application(scope, receive, send)
