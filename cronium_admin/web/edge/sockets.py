"""Checks WebSocket handshakes: host, path, origin, and that the client sends a credential."""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import urlparse

from channels.security.websocket import OriginValidator
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from cronium_admin.core.errors import convert_outage
from cronium_admin.web.edge.credentials import parse_credential

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
CLOSE_REFUSED, CLOSE_TRY_LATER = 4403, 1013


def is_allowed_host(host: str) -> bool:
    # Django does not apply its rule for hosts to WebSockets.
    domain, _ = split_domain_port(host)
    allowed = settings.ALLOWED_HOSTS or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    return bool(domain) and validate_host(domain, allowed)


def list_allowed_origins(host: str) -> list[str]:
    schemes = ("https",) if settings.SESSION_COOKIE_SECURE else ("http", "https")
    # Django's wildcard is https://*.example.org; that of channels has no star.
    trusted = [origin.replace("://*.", "://.") for origin in settings.CSRF_TRUSTED_ORIGINS]
    return [*(f"{scheme}://{host}" for scheme in schemes), *trusted]


class SocketGuard:
    """Refuses other hosts (400) and unknown paths (404) at the handshake; other origins, and clients without a
    credential, with close code 4403."""

    def __init__(self, application: Application, path: str) -> None:
        self._application, self._path = application, re.compile(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_allowed_host(host):
            await _reject_handshake(scope, receive, send, HTTPStatus.BAD_REQUEST)
        elif not self._path.fullmatch(scope["path"]):
            await _reject_handshake(scope, receive, send, HTTPStatus.NOT_FOUND)
        elif b"origin" in headers and parse_credential(headers)[0]:
            validator = OriginValidator(self._application, list_allowed_origins(host))
            if _is_valid_origin(validator, headers[b"origin"].decode("latin-1")):
                await self._forward(scope, receive, send)
            else:
                await _accept_and_close(receive, send)
        elif parse_credential(headers)[0]:
            await self._forward(scope, receive, send)  # a program, which sends no Origin
        else:
            await _accept_and_close(receive, send)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A database outage during the look-up of the session closes the connection with 1013.
        is_answered = False

        async def send_and_note(message: Any) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await self._application(scope, receive, send_and_note)
        except Exception as error:
            if is_answered or convert_outage(error, "a WebSocket's handshake") is None:
                raise
            await _accept_and_close(receive, send, CLOSE_TRY_LATER)


def _is_valid_origin(validator: OriginValidator, origin: str) -> bool:
    try:
        return bool(validator.valid_origin(urlparse(origin.lower())))
    except ValueError:  # a bad port or address
        return False


async def _accept_and_close(receive: Receive, send: Send, code: int = CLOSE_REFUSED) -> None:
    # A page receives the close code only of an accepted connection.
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": code})


async def _reject_handshake(scope: Scope, receive: Receive, send: Send, status: HTTPStatus) -> None:
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    content = status.phrase.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(content)).encode())]
    await send({"type": "websocket.http.response.start", "status": status.value, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": content})
