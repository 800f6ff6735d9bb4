"""Reads the bodies of requests before Django: limits the size, the time, and the sum of all bodies in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]

MAX_BYTES = 8 * 1024 * 1024
# By path prefix: routes with a larger limit. Upload routes register themselves here.
LARGER_LIMITS: dict[str, int] = {}
QUIET_SECONDS = 10.0  # between two chunks
SECONDS, BYTES_A_SECOND = 20.0, 32 * 1024  # for the whole body: the minimum time, and the rate that extends it
MAX_IN_FLIGHT = 8 * MAX_BYTES


class BodyError(Exception):
    """The body is refused: HTTP status, code, and a message that names the remedy."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class ClientDisconnected(Exception):
    """The client disconnected before its request was complete."""


def get_size_limit(path: str) -> int:
    return max([MAX_BYTES, *(size for prefix, size in LARGER_LIMITS.items() if path.startswith(prefix))])


def _make_too_large(limit: int) -> BodyError:
    return BodyError(413, "too_large", f"The body is too large. At most {limit // 1024 // 1024} MiB are read.")


class BodyReader:
    def __init__(self, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self._max, self.in_flight = max_in_flight, 0

    async def read_body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body; the caller releases its size with `release`. Raises BodyError or ClientDisconnected."""
        headers = dict(scope["headers"])
        limit = get_size_limit(scope["path"])
        if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
            raise BodyError(415, "unsupported_encoding", "Send the body without Content-Encoding.")
        content_length = headers.get(b"content-length", b"")
        if content_length.isdigit() and (len(content_length) > 18 or int(content_length) > limit):
            raise _make_too_large(limit)
        body = bytearray()
        try:
            await self._receive_body(receive, body, limit)
        except BaseException:
            self.release(len(body))
            raise
        return bytes(body)

    def release(self, size: int) -> None:
        self.in_flight -= size

    async def _receive_body(self, receive: Receive, body: bytearray, limit: int) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            seconds_left = began + SECONDS + len(body) / BYTES_A_SECOND - loop.time()
            try:
                async with asyncio.timeout(max(0.0, min(QUIET_SECONDS, seconds_left))):
                    message = await receive()
            except TimeoutError:
                raise BodyError(408, "too_slow", "The body did not arrive in time. Send the request again.") from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            chunk = message.get("body", b"")
            if len(body) + len(chunk) > limit:
                raise _make_too_large(limit)
            if chunk and self.in_flight + len(chunk) > self._max:
                raise BodyError(503, "busy", "Too many large requests at once. Try again in a few seconds.")
            self.in_flight += len(chunk)
            body += chunk
            if not message.get("more_body", False):
                return
