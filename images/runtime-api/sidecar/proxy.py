"""The way out of a run: a forward proxy on the job's own leg, for the run's token and the job's destinations only.

h11 parses what comes and writes what goes on, on both sides: nothing is passed on as it came but a tunnel's bytes.
Whom to refuse is decided, told to the worker and final before anything is connected.
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import h11

from sidecar.api import is_token
from sidecar.config import Config, Egress
from sidecar.control import BackendUnavailableError, Channel
from sidecar.destinations import Address, AllowList, Destination, parse_destination, refusal
from sidecar.http import KIB, MIB, PIECE, linger
from sidecar.relay import Relay

PROXY_PORT = 8082
URL = re.compile(r"http://(?P<authority>[^/?#]*)(?P<path>/[^#]*|\?[^#]*)?", re.IGNORECASE)
RESOLVING = 8  # names at once


@dataclass(frozen=True)
class Bounds:
    """How much of the proxy one job may take."""

    connections: int = 64
    header_bytes: int = 16 * KIB
    head_seconds: float = 15.0
    connect_seconds: float = 10.0  # the name's lookup included
    idle_seconds: float = 300.0  # without a byte in either direction
    linger_seconds: float = 1.0
    linger_bytes: int = 16 * MIB


class RefusedError(Exception):
    """An answer that says no. `told` is what the run's events say of it; empty for what is no destination."""

    def __init__(self, status: int, message: str, told: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.told = status, message, told


class Proxy:
    """Takes connections until it is closed."""

    def __init__(self, config: Config, egress: Egress, channel: Channel, bounds: Bounds | None = None) -> None:
        """ValueError when a pattern or a network of `egress` is none."""
        self._config, self._channel, self.bounds = config, channel, bounds or Bounds()
        self._allowed = AllowList(egress.allow)
        self._own = [IPv4Network(network) for network in egress.networks]
        self._connections = 0

    async def start(self, host: str, port: int) -> asyncio.Server:
        """Listen; the caller closes what it gets."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(RESOLVING, "resolve"))
        return await asyncio.start_server(self._serve, host, port, limit=PIECE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            await Exchange(self, reader, writer).run(crowded=self._connections > self.bounds.connections)
        except (OSError, TimeoutError):
            pass  # one of the ends is gone or too slow: nobody is left to tell
        finally:
            self._connections -= 1
            writer.transport.abort()

    def check_token(self, shown: bytes | None) -> None:
        """Raise RefusedError unless the header holds the run's token as the password of anybody."""
        scheme, _, encoded = (shown or b"").partition(b" ")
        try:
            token = base64.b64decode(encoded.strip(), validate=True).partition(b":")[2]
        except ValueError:
            token = b""
        if scheme.lower() != b"basic" or not is_token(self._config, token):
            raise RefusedError(407, "The proxy wants the run's token, as in HTTP_PROXY.")
        if time.monotonic() >= self._config.token_ends:
            raise RefusedError(407, "The run's token has expired.")

    async def decide(self, wanted: Destination) -> Address:
        """The one address that may be connected for this destination. Raises RefusedError."""
        if not self._allowed.allows(wanted):
            raise _refuse(wanted, "not in the job's list of destinations")
        addresses = await self._resolve(wanted)
        for address in addresses:
            if why := refusal(address, self._own):
                raise _refuse(wanted, why, address)
        return addresses[0]

    async def _resolve(self, wanted: Destination) -> list[Address]:
        if not isinstance(wanted.host, str):
            return [wanted.host]
        loop = asyncio.get_running_loop()
        try:
            # As bytes: a text would be put through the codec for international names, which no name here needs.
            found = await loop.getaddrinfo(
                wanted.host.encode("ascii"), wanted.port, family=socket.AF_INET, type=socket.SOCK_STREAM
            )
        except OSError:
            message = f"{wanted} refused: the name does not resolve"
            raise RefusedError(502, message, message) from None
        return [IPv4Address(address[0]) for *_, address in found]

    async def tell(self, kind: str, message: str) -> None:
        """What nobody can note does not happen."""
        try:
            await self._channel.event(kind, message)
        except BackendUnavailableError:
            raise RefusedError(503, "Cronium did not answer, and nothing is let out unnoticed.") from None


def _refuse(wanted: Destination, why: str, address: Address | None = None) -> RefusedError:
    message = f"{wanted}{_behind(wanted, address)} refused: {why}"
    return RefusedError(403, message, message)


def _behind(wanted: Destination, address: Address | None) -> str:
    """The address of a name, for people."""
    return f" ({address})" if address is not None and address != wanted.host else ""


class Exchange:
    """One client's connection: one request, or one tunnel."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy, self._bounds = proxy, proxy.bounds
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=proxy.bounds.header_bytes)
        self._head_only = False  # the request was a HEAD, whose answer has no body

    async def run(self, crowded: bool) -> None:
        """Serve it to its end; `crowded` refuses it."""
        try:
            if crowded:
                raise RefusedError(503, "Too many connections at once; close some.")
            await self._serve()
        except RefusedError as error:
            await self._answer(error)

    async def _serve(self) -> None:
        request = await self._head()
        if request is None:
            return
        self._head_only = request.method == b"HEAD"
        self._proxy.check_token(dict(request.headers).get(b"proxy-authorization"))
        wanted, target = _parse_target(request)
        address = await self._allowed(wanted)
        try:
            reader, writer = await self._connect(address, wanted)
        except (OSError, TimeoutError) as error:
            status = 504 if isinstance(error, TimeoutError) else 502
            raise RefusedError(status, f"{wanted} can't be connected: {error or 'no answer in time'}") from None
        relay = Relay(self._http, (self._reader, self._writer), (reader, writer), self._bounds.idle_seconds)
        try:
            if request.method == b"CONNECT":
                await relay.tunnel()
            elif await relay.forward(request, str(wanted), target):
                await linger(self._reader, self._writer, self._bounds.linger_seconds, self._bounds.linger_bytes)
            else:
                raise RefusedError(502, f"{wanted} gave no answer that can be read.")
        finally:
            writer.transport.abort()

    async def _head(self) -> h11.Request | None:
        try:
            async with asyncio.timeout(self._bounds.head_seconds):
                while (event := self._http.next_event()) is h11.NEED_DATA:
                    self._http.receive_data(await self._reader.read(PIECE))
        except TimeoutError:
            raise RefusedError(408, "The request took too long to arrive.") from None
        except h11.RemoteProtocolError as error:
            raise RefusedError(error.error_status_hint, f"Not HTTP as it should be: {error}") from None
        return event if isinstance(event, h11.Request) else None

    async def _allowed(self, wanted: Destination) -> Address:
        """Decide, and tell of it. Raises RefusedError."""
        try:
            async with asyncio.timeout(self._bounds.connect_seconds):
                address = await self._proxy.decide(wanted)
        except TimeoutError:
            message = f"{wanted} refused: the name does not resolve in time"
            await self._proxy.tell("network_refused", message)
            raise RefusedError(504, message) from None
        except RefusedError as error:
            await self._proxy.tell("network_refused", error.told)
            raise
        await self._proxy.tell("network_allowed", f"{wanted}{_behind(wanted, address)}")
        return address

    async def _connect(
        self, address: Address, wanted: Destination
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To this very address: a name is looked up once, and never again."""
        if isinstance(address, IPv6Address):
            raise OSError("a run's network has no IPv6")
        async with asyncio.timeout(self._bounds.connect_seconds):
            return await asyncio.open_connection(str(address), wanted.port, limit=PIECE)

    async def _answer(self, error: RefusedError) -> None:
        """Say no, with the words where clients show them: after a CONNECT that is often the status line alone."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        words = f"cronium: {error.message}"[:300].encode("ascii", "replace")
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(words) + 1)), ("Connection", "close")]
        if error.status == 407:
            headers.append(("Proxy-Authenticate", 'Basic realm="cronium"'))
        events = [h11.Response(status_code=error.status, headers=headers, reason=words), h11.EndOfMessage()]
        if not self._head_only:
            events.insert(1, h11.Data(data=words + b"\n"))
        async with asyncio.timeout(self._bounds.head_seconds):
            self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
            await self._writer.drain()
        await linger(self._reader, self._writer, self._bounds.linger_seconds, self._bounds.linger_bytes)


def _parse_target(request: h11.Request) -> tuple[Destination, bytes]:
    """Where a request wants to go, and the path that is asked for there. Raises RefusedError."""
    text = request.target.decode("ascii", "replace")
    names = {name for name, _ in request.headers}
    try:
        if request.method == b"CONNECT":
            if names & {b"content-length", b"transfer-encoding"}:
                raise ValueError("A CONNECT has no body.")
            return parse_destination(text), b""
        url = URL.fullmatch(text)
        if url is None:
            raise ValueError("This is a proxy for whole addresses: http://host/path, and CONNECT host:port for https.")
        path = url["path"] or "/"
        return parse_destination(url["authority"], 80), (path if path[0] == "/" else f"/{path}").encode("ascii")
    except ValueError as error:
        raise RefusedError(400, str(error)) from None
