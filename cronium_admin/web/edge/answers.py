"""The error responses of the edge, in the API's form."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from typing import Any, TypeAlias

Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

RETRY_SECONDS = 5
BUSY = "Too many requests at once. Try again in a few seconds."
# Limits for dropping the rest of a body: some clients read the response only after they have sent everything.
LINGER_SECONDS, LINGER_BYTES = 2.0, 4 * 1024 * 1024


def _build_response(status: int, code: str, message: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    content = json.dumps({"detail": message, "code": code, "fields": {}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(b"cache-control", b"no-store"), (b"connection", b"close"), (b"x-content-type-options", b"nosniff")]
    if status in (429, 503):
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    return content, headers


def build_raw_response(status: int, code: str, message: str) -> bytes:
    content, headers = _build_response(status, code, message)
    head = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (status, HTTPStatus(status).phrase.encode(), head, content)


@cache
def build_raw_busy() -> bytes:
    return build_raw_response(503, "busy", BUSY)


async def send_refusal(send: Send, status: int, code: str, message: str, receive: Receive | None = None) -> None:
    """Sends the response and closes the connection. With `receive`, drops the rest of the body first, within limits."""
    content, headers = _build_response(status, code, message)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": receive is not None})
    if receive is None:
        return
    dropped = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while dropped < LINGER_BYTES:
                event = await receive()
                if event["type"] != "http.request" or not event.get("more_body", False):
                    break
                dropped += len(event.get("body", b""))
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
