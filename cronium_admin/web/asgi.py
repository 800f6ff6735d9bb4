"""Assembles the ASGI application: HTTP, static files, WebSockets, lifespan."""

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")

from django.core.asgi import get_asgi_application

_django = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402 - after Django is set up
from channels.routing import URLRouter  # noqa: E402 - after Django is set up

from cronium_admin.logs.urls import websocket_urlpatterns  # noqa: E402 - after Django is set up
from cronium_admin.settings import CONFIG, VERSION  # noqa: E402
from cronium_admin.web import lifespan  # noqa: E402 - after Django is set up
from cronium_admin.web.edge.application import Edge  # noqa: E402 - after Django is set up
from cronium_admin.web.edge.connections import ConnectionTable, compute_max_connections, raise_descriptor_limit  # noqa: E402
from cronium_admin.web.edge.guard import Guard  # noqa: E402
from cronium_admin.web.edge.protocol import HttpProtocol  # noqa: E402
from cronium_admin.web.edge.sockets import SocketGuard  # noqa: E402

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

_SOCKETS = r"/ws/runs/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/logs"
_connections = ConnectionTable(compute_max_connections(CONFIG.max_connections, raise_descriptor_limit()))
_edge = Edge(
    _django,
    SocketGuard(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)), _SOCKETS),
    requests=CONFIG.max_requests,
    connections=_connections.most,
    version=VERSION,
)
HttpProtocol.server_connections = _connections
HttpProtocol.guard = Guard(_edge.anonymous_gate, _edge.credentials, CONFIG.trusted_proxies)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan.serve_lifespan(receive, send)
    else:
        await _edge(scope, receive, send)
