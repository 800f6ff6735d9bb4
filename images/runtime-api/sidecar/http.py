"""The HTTP/1.1 server, with limits on sizes, times and connections. Uses h11 as the parser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import h11

from sidecar.api import Api, ApiError, Request, Response, Route

KIB, MIB = 1024, 1024 * 1024
CHUNK_BYTES = 64 * KIB


@dataclass(frozen=True)
class Bounds:
    """Limits per job."""

    body_bytes: int = 5 * MIB
    header_bytes: int = 16 * KIB
    # Bodies in progress on all connections. The sidecar has 256 MB, and the check of one body may take 160 MB.
    pending_bytes: int = 10 * MIB
    connections: int = 160
    # Time to receive a complete request; also the idle timeout of a connection.
    request_seconds: float = 15.0
    response_seconds: float = 15.0
    # Time and bytes to read from the client after an error response: a reset could make the client lose it.
    linger_seconds: float = 1.0
    linger_bytes: int = 16 * MIB


class Server:
    def __init__(self, api: Api, bounds: Bounds | None = None) -> None:
        self._api, self._bounds = api, bounds or Bounds()
        self._connections = 0
        self.pending_bytes = 0

    async def start(self, host: str, port: int) -> asyncio.Server:
        """The caller closes the returned server."""
        return await asyncio.start_server(self._on_connection, host, port, limit=64 * KIB)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            await Connection(self, self._api, self._bounds, reader, writer).handle_requests(
                is_over_limit=self._connections > self._bounds.connections
            )
        except (OSError, TimeoutError):
            pass  # the client is gone or too slow
        finally:
            self._connections -= 1
            writer.transport.abort()


class Connection:
    """A client connection, which may carry several requests in sequence."""

    def __init__(
        self, server: Server, api: Api, bounds: Bounds, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server, self._api, self._bounds = server, api, bounds
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=bounds.header_bytes)

    async def handle_requests(self, is_over_limit: bool) -> None:
        """Serves requests until either side closes; with `is_over_limit` responds 429 and closes."""
        if is_over_limit:
            return await self._send_error(ApiError(429, "TOO_MANY_CONNECTIONS", "Too many connections; close some."))
        while True:
            try:
                response = await self._handle_request()
            except ApiError as error:
                return await self._send_error(error)
            if response is None:
                return None
            await self._send_response(response)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return await self._close_gracefully()
            self._http.start_next_cycle()

    async def _handle_request(self) -> Response | None:
        """Returns None if the client has closed the connection or is idle. Raises ApiError."""
        received_bytes = 0
        try:
            try:
                async with asyncio.timeout(self._bounds.request_seconds):
                    head = await self._next_event()
                    if not isinstance(head, h11.Request):
                        return None
                    request = Request(head.method, head.target, dict(head.headers))
                    route = self._api.parse_route(request)
                    received = bytearray()
                    async for part in self._read_body(request, route):
                        received_bytes += len(part)
                        self._server.pending_bytes += len(part)
                        received += part
            except TimeoutError:
                if self._http.their_state is h11.IDLE and not self._http.trailing_data[0]:
                    return None
                raise ApiError(408, "TIMEOUT", "The request took too long to arrive.") from None
            except h11.RemoteProtocolError as error:
                raise ApiError(error.error_status_hint, "BAD_REQUEST", f"Invalid HTTP: {error}") from None
            body = bytes(received)
            received.clear()  # frees the second copy
            try:
                return await self._api.handle_request(request, route, body)
            except ApiError as error:
                return error.to_response()
        finally:
            self._server.pending_bytes -= received_bytes

    async def _read_body(self, request: Request, route: Route) -> AsyncIterator[bytes]:
        """Yields chunks of the body. Raises ApiError as soon as a limit is exceeded."""
        limit = min(self._bounds.body_bytes, route.max_body_bytes or self._bounds.body_bytes)
        length = request.headers.get(b"content-length")
        if request.method in (b"POST", b"PUT") and length is None and b"transfer-encoding" not in request.headers:
            raise ApiError(411, "LENGTH_REQUIRED", "Send Content-Length or a chunked body.")
        if length is not None and int(length) > limit:
            raise ApiError(413, "TOO_LARGE", f"The body may have at most {limit} bytes.")
        if self._server.pending_bytes + int(length or 0) > self._bounds.pending_bytes:
            raise ApiError(429, "TOO_BUSY", "Too many large concurrent requests; try again.")
        if self._http.they_are_waiting_for_100_continue:
            await self._write_bytes(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        total = 0
        while isinstance(event := await self._next_event(), h11.Data):
            total += len(event.data)
            if total > limit:
                raise ApiError(413, "TOO_LARGE", f"The body may have at most {limit} bytes.")
            if self._server.pending_bytes > self._bounds.pending_bytes:
                raise ApiError(429, "TOO_BUSY", "Too many large concurrent requests; try again.")
            yield event.data
        if not isinstance(event, h11.EndOfMessage):
            raise ConnectionResetError

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(64 * KIB))
        return event

    async def _send_error(self, error: ApiError) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        response = error.to_response()
        response.headers.append((b"Connection", b"close"))
        await self._send_response(response)
        await self._close_gracefully()

    async def _send_response(self, response: Response) -> None:
        headers = [
            (b"Content-Type", response.content_type),
            (b"Content-Length", str(sum(map(len, response.body))).encode()),
            (b"Cache-Control", b"no-store"),
            *response.headers,
        ]
        async with asyncio.timeout(self._bounds.response_seconds):
            await self._write_bytes(self._http.send(h11.Response(status_code=response.status, headers=headers)))
            for part in response.body:
                for start in range(0, len(part), CHUNK_BYTES):
                    await self._write_bytes(self._http.send(h11.Data(data=part[start : start + CHUNK_BYTES])))
            await self._write_bytes(self._http.send(h11.EndOfMessage()))

    async def _write_bytes(self, data: bytes | None) -> None:
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def _close_gracefully(self) -> None:
        await close_gracefully(self._reader, self._writer, self._bounds.linger_seconds, self._bounds.linger_bytes)


async def close_gracefully(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float, max_bytes: int
) -> None:
    """Closes the sending side and reads the rest: unread data would reset the connection, and the client might lose
    the response."""
    async with asyncio.timeout(seconds):
        if writer.can_write_eof():
            writer.write_eof()
        while max_bytes > 0 and (data := await reader.read(64 * KIB)):
            max_bytes -= len(data)
