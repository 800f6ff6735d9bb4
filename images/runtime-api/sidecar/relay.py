"""Relays messages and bytes between a run and an allowed destination."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import h11

from sidecar.http import CHUNK_BYTES, KIB

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Headers = list[tuple[bytes, bytes]]
MAX_RESPONSE_HEAD = 64 * KIB
# Headers of a single connection (RFC 9110, 7.6.1), and headers that `Relay` sets itself.
HOP_BY_HOP = {
    *(b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"expect"),
    *(b"transfer-encoding", b"content-length"),
}


class Relay:
    """`http` has parsed the head of the client's request. Raises TimeoutError after `idle` seconds without data."""

    def __init__(self, http: h11.Connection, client: Streams, server: Streams, idle: float) -> None:
        self._http, self._idle = http, idle
        self._client, self._server = client, server
        self._limit = asyncio.timeout(idle)
        self._upstream = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_RESPONSE_HEAD)

    async def run_tunnel(self) -> None:
        """Confirms the CONNECT, then copies bytes in both directions until both have ended."""
        confirmation = self._http.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        early_data, _ = self._http.trailing_data
        async with self._limit:
            await self._write_bytes(self._client[1], confirmation)
            await self._write_bytes(self._server[1], early_data)
            upstream = self._copy_bytes(self._client[0], self._server[1])
            await asyncio.gather(upstream, self._copy_bytes(self._server[0], self._client[1]))

    async def _copy_bytes(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(CHUNK_BYTES):
                await self._write_bytes(sink, data)
            sink.write_eof()
        except OSError:
            for _, writer in (self._client, self._server):  # ends the other direction too
                writer.transport.abort()

    async def forward_request(self, request: h11.Request, host: str, target: bytes) -> bool:
        """Forwards a request and its response. Returns False if there is no valid response."""
        headers = [(b"Host", host.removesuffix(":80").encode("ascii")), *filter_headers(request.headers, b"host")]
        head = h11.Request(method=request.method, target=target, headers=[*headers, (b"Connection", b"close")])
        async with self._limit:
            try:
                await self._write_bytes(self._server[1], self._upstream.send(head))
            except OSError:
                return False
            body_task = asyncio.create_task(self._send_body())
            try:
                return await self._relay_response()
            finally:
                body_task.cancel()

    async def _send_body(self) -> None:
        """Forwards the request's body. An error aborts the connection to the destination."""
        try:
            if self._http.they_are_waiting_for_100_continue:
                interim = h11.InformationalResponse(status_code=100, headers=[])
                await self._write_bytes(self._client[1], self._http.send(interim))
            async for event in _read_events(self._http, self._client[0]):
                if isinstance(event, h11.Data):
                    await self._write_bytes(self._server[1], self._upstream.send(h11.Data(data=event.data)))
            await self._write_bytes(self._server[1], self._upstream.send(h11.EndOfMessage()))
        except (OSError, h11.ProtocolError):
            self._server[1].transport.abort()

    async def _relay_response(self) -> bool:
        try:
            async for event in _read_events(self._upstream, self._server[0]):
                if isinstance(event, h11.Response):
                    headers = [*filter_headers(event.headers), (b"Connection", b"close")]
                    event = h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)
                elif isinstance(event, h11.Data):
                    event = h11.Data(data=event.data)
                else:
                    continue  # an informational response
                await self._write_bytes(self._client[1], self._http.send(event))
            await self._write_bytes(self._client[1], self._http.send(h11.EndOfMessage()))
        except h11.RemoteProtocolError:
            if self._http.our_state is h11.SEND_RESPONSE:
                return False
            raise ConnectionResetError from None  # signals the truncated body to the client
        return True

    async def _write_bytes(self, sink: asyncio.StreamWriter, data: bytes | None) -> None:
        """Extends the idle timeout. Waits for the receiver, which slows down the sender."""
        if data:
            sink.write(data)
            await sink.drain()
            if not self._limit.expired():
                self._limit.reschedule(asyncio.get_running_loop().time() + self._idle)


async def _read_events(http: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[object]:
    """Yields events until the message is complete. Raises h11.RemoteProtocolError."""
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(CHUNK_BYTES))
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            raise h11.RemoteProtocolError("connection closed within a message")
        else:
            yield event


def filter_headers(headers: Iterable[tuple[bytes, bytes]], *excluded: bytes) -> Headers:
    """Returns the end-to-end headers, with exactly one header that gives the length of the body."""
    pairs = list(headers)
    listed = {part.strip().lower() for name, value in pairs if name == b"connection" for part in value.split(b",")}
    dropped = HOP_BY_HOP | listed | set(excluded)
    passed = [(name, value) for name, value in pairs if name not in dropped and not name.startswith(b"proxy-")]
    is_chunked = any(name == b"transfer-encoding" for name, _ in pairs)
    lengths = [] if is_chunked else [pair for pair in pairs if pair[0] == b"content-length"][:1]
    return passed + ([(b"Transfer-Encoding", b"chunked")] if is_chunked else lengths)
