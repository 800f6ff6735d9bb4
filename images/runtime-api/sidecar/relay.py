"""Bytes and messages between a run and the destination it was let out to. Decides nothing about where that is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import h11

from sidecar.http import KIB, PIECE

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Headers = list[tuple[bytes, bytes]]
MAX_ANSWER_HEAD = 64 * KIB
# What belongs to one connection, not to the message (RFC 9110, 7.6.1), and what `Relay` sets itself.
HOP_BY_HOP = {
    *(b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"expect"),
    *(b"transfer-encoding", b"content-length"),
}


class Relay:
    """Between `client`, whose request head `http` has parsed, and a connected `server`. Ends after `idle` seconds
    without a byte in either direction, with TimeoutError."""

    def __init__(self, http: h11.Connection, client: Streams, server: Streams, idle: float) -> None:
        self._http, self._idle = http, idle
        self._client, self._server = client, server
        self._limit = asyncio.timeout(idle)
        self._upstream = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_ANSWER_HEAD)

    async def tunnel(self) -> None:
        """Say that the tunnel stands, then carry bytes both ways until both have ended."""
        answer = self._http.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        early, _ = self._http.trailing_data
        async with self._limit:
            await self._write(self._client[1], answer)
            await self._write(self._server[1], early)
            there = self._pump(self._client[0], self._server[1])
            await asyncio.gather(there, self._pump(self._server[0], self._client[1]))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(PIECE):
                await self._write(sink, data)
            sink.write_eof()
        except OSError:
            for _, writer in (self._client, self._server):  # one end is gone, so the other direction is over too
                writer.transport.abort()

    async def forward(self, request: h11.Request, host: str, target: bytes) -> bool:
        """Pass one request on and its answer back; False when there was no answer that can be read."""
        headers = [(b"Host", host.removesuffix(":80").encode("ascii")), *passed_on(request.headers, b"host")]
        head = h11.Request(method=request.method, target=target, headers=[*headers, (b"Connection", b"close")])
        async with self._limit:
            try:
                await self._write(self._server[1], self._upstream.send(head))
            except OSError:
                return False
            upload = asyncio.create_task(self._upload())
            try:
                return await self._download()
            finally:
                upload.cancel()

    async def _upload(self) -> None:
        """The request's body. Where either end breaks, the destination's connection does too."""
        try:
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await self._write(self._client[1], self._http.send(go_on))
            async for event in _events(self._http, self._client[0]):
                if isinstance(event, h11.Data):
                    await self._write(self._server[1], self._upstream.send(h11.Data(data=event.data)))
            await self._write(self._server[1], self._upstream.send(h11.EndOfMessage()))
        except (OSError, h11.ProtocolError):
            self._server[1].transport.abort()

    async def _download(self) -> bool:
        try:
            async for event in _events(self._upstream, self._server[0]):
                if isinstance(event, h11.Response):
                    headers = [*passed_on(event.headers), (b"Connection", b"close")]
                    event = h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)
                elif isinstance(event, h11.Data):
                    event = h11.Data(data=event.data)
                else:
                    continue  # "go on" and its like were for us
                await self._write(self._client[1], self._http.send(event))
            await self._write(self._client[1], self._http.send(h11.EndOfMessage()))
        except h11.RemoteProtocolError:
            if self._http.our_state is h11.SEND_RESPONSE:
                return False
            raise ConnectionResetError from None  # in the middle of a body, only an end without its end tells
        return True

    async def _write(self, sink: asyncio.StreamWriter, data: bytes | None) -> None:
        """Every byte that moves is a sign of life; one that can't move keeps its sender from sending more."""
        if data:
            sink.write(data)
            await sink.drain()
            if not self._limit.expired():
                self._limit.reschedule(asyncio.get_running_loop().time() + self._idle)


async def _events(http: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[object]:
    """What the other end sends, until its message is complete. Raises h11.RemoteProtocolError."""
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(PIECE))
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            raise h11.RemoteProtocolError("ended before its message did")
        else:
            yield event


def passed_on(headers: Iterable[tuple[bytes, bytes]], *without: bytes) -> Headers:
    """What of a message's headers the next one may see, with one word, not two, on where its body ends."""
    pairs = list(headers)
    named = {part.strip().lower() for name, value in pairs if name == b"connection" for part in value.split(b",")}
    dropped = HOP_BY_HOP | named | set(without)
    kept = [(name, value) for name, value in pairs if name not in dropped and not name.startswith(b"proxy-")]
    chunked = any(name == b"transfer-encoding" for name, _ in pairs)
    lengths = [] if chunked else [pair for pair in pairs if pair[0] == b"content-length"][:1]
    return kept + ([(b"Transfer-Encoding", b"chunked")] if chunked else lengths)
