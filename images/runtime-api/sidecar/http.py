"""HTTP/1.1 on one port, bounded in every direction. h11 parses; this file only moves bytes and counts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import h11

from sidecar.api import Api, ApiError, Request, Response, Route

KIB, MIB = 1024, 1024 * 1024
PIECE = 64 * KIB


@dataclass(frozen=True)
class Bounds:
    """How much of anything one job may take."""

    body_bytes: int = 5 * MIB
    header_bytes: int = 16 * KIB
    # Bodies being received and answered, all connections together. The sidecar lives in 256 MB, and looking at one
    # body of the worst kind takes 160 of them.
    pending_bytes: int = 10 * MIB
    connections: int = 160
    # From the first wait for a request to its last byte; also how long an idle connection is kept.
    request_seconds: float = 15.0
    response_seconds: float = 15.0
    # After a refused body: how long and how much is still read so that the answer is not lost to a reset.
    linger_seconds: float = 1.0
    linger_bytes: int = 16 * MIB


class Server:
    """Takes connections until it is closed."""

    def __init__(self, api: Api, bounds: Bounds | None = None) -> None:
        self._api, self._bounds = api, bounds or Bounds()
        self._connections = 0
        self.pending_bytes = 0

    async def start(self, host: str, port: int) -> asyncio.Server:
        """Listen; the caller closes what it gets."""
        return await asyncio.start_server(self._serve, host, port, limit=64 * KIB)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            await Connection(self, self._api, self._bounds, reader, writer).run(
                crowded=self._connections > self._bounds.connections
            )
        except (OSError, TimeoutError):
            pass  # the other end is gone or too slow: nobody is left to tell
        finally:
            self._connections -= 1
            writer.transport.abort()


class Connection:
    """One client's connection and its requests, one after the other."""

    def __init__(
        self, server: Server, api: Api, bounds: Bounds, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server, self._api, self._bounds = server, api, bounds
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=bounds.header_bytes)

    async def run(self, crowded: bool) -> None:
        """Serve until either side ends it; `crowded` refuses with 429 and ends."""
        if crowded:
            return await self._refuse(ApiError(429, "TOO_MANY_CONNECTIONS", "Too many connections; close some."))
        while True:
            try:
                response = await self._exchange()
            except ApiError as error:
                return await self._refuse(error)
            if response is None:
                return None
            await self._send(response)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return await self._linger()
            self._http.start_next_cycle()

    async def _exchange(self) -> Response | None:
        """One request and its answer; None when the client has closed or waits idle. Raises ApiError."""
        held = 0
        try:
            try:
                async with asyncio.timeout(self._bounds.request_seconds):
                    head = await self._next_event()
                    if not isinstance(head, h11.Request):
                        return None
                    request = Request(head.method, head.target, dict(head.headers))
                    route = self._api.route(request)
                    received = bytearray()
                    async for part in self._body(request, route):
                        held += len(part)
                        self._server.pending_bytes += len(part)
                        received += part
            except TimeoutError:
                if self._http.their_state is h11.IDLE and not self._http.trailing_data[0]:
                    return None
                raise ApiError(408, "TIMEOUT", "The request took too long to arrive.") from None
            except h11.RemoteProtocolError as error:
                raise ApiError(error.error_status_hint, "BAD_REQUEST", f"Not HTTP as it should be: {error}") from None
            body = bytes(received)
            received.clear()  # one copy is enough
            try:
                return await self._api.answer(request, route, body)
            except ApiError as error:
                return error.response()
        finally:
            self._server.pending_bytes -= held

    async def _body(self, request: Request, route: Route) -> AsyncIterator[bytes]:
        """The body in pieces, refused as soon as it is known to be too large."""
        limit = min(self._bounds.body_bytes, route.body_bytes or self._bounds.body_bytes)
        length = request.headers.get(b"content-length")
        if request.method in (b"POST", b"PUT") and length is None and b"transfer-encoding" not in request.headers:
            raise ApiError(411, "LENGTH_REQUIRED", "Send Content-Length or a chunked body.")
        if length is not None and int(length) > limit:
            raise ApiError(413, "TOO_LARGE", f"The body may have {limit} bytes.")
        if self._server.pending_bytes + int(length or 0) > self._bounds.pending_bytes:
            raise ApiError(429, "TOO_BUSY", "Too many large requests at once; try again.")
        if self._http.they_are_waiting_for_100_continue:
            await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        total = 0
        while isinstance(event := await self._next_event(), h11.Data):
            total += len(event.data)
            if total > limit:
                raise ApiError(413, "TOO_LARGE", f"The body may have {limit} bytes.")
            if self._server.pending_bytes > self._bounds.pending_bytes:
                raise ApiError(429, "TOO_BUSY", "Too many large requests at once; try again.")
            yield event.data
        if not isinstance(event, h11.EndOfMessage):
            raise ConnectionResetError

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(64 * KIB))
        return event

    async def _refuse(self, error: ApiError) -> None:
        """Answer and end: what else the client has sent is not looked at."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        response = error.response()
        response.headers.append((b"Connection", b"close"))
        await self._send(response)
        await self._linger()

    async def _send(self, response: Response) -> None:
        headers = [
            (b"Content-Type", response.content_type),
            (b"Content-Length", str(sum(map(len, response.body))).encode()),
            (b"Cache-Control", b"no-store"),
            *response.headers,
        ]
        async with asyncio.timeout(self._bounds.response_seconds):
            await self._write(self._http.send(h11.Response(status_code=response.status, headers=headers)))
            for part in response.body:
                for start in range(0, len(part), PIECE):
                    await self._write(self._http.send(h11.Data(data=part[start : start + PIECE])))
            await self._write(self._http.send(h11.EndOfMessage()))

    async def _write(self, data: bytes | None) -> None:
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def _linger(self) -> None:
        await linger(self._reader, self._writer, self._bounds.linger_seconds, self._bounds.linger_bytes)


async def linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float, most: int) -> None:
    """Closing over unread bytes resets the connection, and the client may lose the answer to that."""
    async with asyncio.timeout(seconds):
        if writer.can_write_eof():
            writer.write_eof()
        while most > 0 and (data := await reader.read(64 * KIB)):
            most -= len(data)
