"""The egress proxy: a forward proxy on the job's network, for the run's token and the job's destinations only.

h11 parses and rewrites every message in both directions; only the bytes of a tunnel pass unchanged. The proxy decides
on a destination and reports the decision to the worker before it connects.
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

from sidecar.api import is_run_token
from sidecar.config import Config, Egress
from sidecar.control import BackendUnavailableError, Channel
from sidecar.destinations import Address, AllowList, Destination, find_refusal_reason, parse_destination
from sidecar.http import CHUNK_BYTES, KIB, MIB, close_gracefully
from sidecar.relay import Relay

PROXY_PORT = 8082
URL = re.compile(r"http://(?P<authority>[^/?#]*)(?P<path>/[^#]*|\?[^#]*)?", re.IGNORECASE)
RESOLVER_THREADS = 8


@dataclass(frozen=True)
class Bounds:
    """Limits per job."""

    connections: int = 64
    header_bytes: int = 16 * KIB
    head_seconds: float = 15.0
    connect_seconds: float = 10.0  # including name resolution
    idle_seconds: float = 300.0  # without data in either direction
    linger_seconds: float = 1.0
    linger_bytes: int = 16 * MIB


class RefusedError(Exception):
    """An error response. `event_message` is for the run's timeline; empty if the request has no destination."""

    def __init__(self, status: int, message: str, event_message: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.event_message = status, message, event_message


class Proxy:
    def __init__(self, config: Config, egress: Egress, channel: Channel, bounds: Bounds | None = None) -> None:
        """Raises ValueError on an invalid pattern or network."""
        self._config, self._channel, self.bounds = config, channel, bounds or Bounds()
        self._allow_list = AllowList(egress.allow)
        self._run_networks = [IPv4Network(network) for network in egress.networks]
        self._allow_private = egress.private
        self._connections = 0

    async def start(self, host: str, port: int) -> asyncio.Server:
        """The caller closes the returned server."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(RESOLVER_THREADS, "resolve"))
        return await asyncio.start_server(self._on_connection, host, port, limit=CHUNK_BYTES)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            await Exchange(self, reader, writer).handle_connection(
                is_over_limit=self._connections > self.bounds.connections
            )
        except (OSError, TimeoutError):
            pass  # the client or the destination is gone or too slow
        finally:
            self._connections -= 1
            writer.transport.abort()

    def check_token(self, header: bytes | None) -> None:
        """Raises RefusedError unless the password is the run's token. Ignores the user name."""
        scheme, _, encoded = (header or b"").partition(b" ")
        try:
            token = base64.b64decode(encoded.strip(), validate=True).partition(b":")[2]
        except ValueError:
            token = b""
        if scheme.lower() != b"basic" or not is_run_token(self._config, token):
            raise RefusedError(407, "The proxy requires the run's token, as in HTTP_PROXY.")
        if time.monotonic() >= self._config.token_deadline:
            raise RefusedError(407, "The run's token has expired.")

    async def choose_address(self, destination: Destination) -> Address:
        """Returns the only address to connect to. Raises RefusedError."""
        if not self._allow_list.is_allowed(destination):
            raise _create_refusal(destination, "not in the job's list of destinations")
        addresses = await self._resolve_host(destination)
        for address in addresses:
            if reason := find_refusal_reason(address, self._run_networks, allow_private=self._allow_private):
                raise _create_refusal(destination, reason, address)
        return addresses[0]

    async def _resolve_host(self, destination: Destination) -> list[Address]:
        if not isinstance(destination.host, str):
            return [destination.host]
        loop = asyncio.get_running_loop()
        try:
            # As bytes: Python would encode a str with the IDNA codec, which ASCII names do not need.
            results = await loop.getaddrinfo(
                destination.host.encode("ascii"), destination.port, family=socket.AF_INET, type=socket.SOCK_STREAM
            )
        except OSError:
            message = f"{destination} refused: the name does not resolve"
            raise RefusedError(502, message, message) from None
        return [IPv4Address(address[0]) for *_, address in results]

    async def report_event(self, kind: str, message: str) -> None:
        """Raises RefusedError if the worker cannot record the event."""
        try:
            await self._channel.send_event(kind, message)
        except BackendUnavailableError:
            raise RefusedError(503, "Cronium did not respond, so the connection cannot be recorded.") from None


def _create_refusal(destination: Destination, reason: str, address: Address | None = None) -> RefusedError:
    message = f"{destination}{_format_address(destination, address)} refused: {reason}"
    return RefusedError(403, message, message)


def _format_address(destination: Destination, address: Address | None) -> str:
    """The resolved address of a name in parentheses, else an empty string."""
    return f" ({address})" if address is not None and address != destination.host else ""


class Exchange:
    """A client connection with one request or one tunnel."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy, self._bounds = proxy, proxy.bounds
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=proxy.bounds.header_bytes)
        self._is_head_request = False  # its response has no body

    async def handle_connection(self, is_over_limit: bool) -> None:
        try:
            if is_over_limit:
                raise RefusedError(503, "Too many connections; close some.")
            await self._handle_request()
        except RefusedError as error:
            await self._send_error(error)

    async def _handle_request(self) -> None:
        request = await self._read_head()
        if request is None:
            return
        self._is_head_request = request.method == b"HEAD"
        self._proxy.check_token(dict(request.headers).get(b"proxy-authorization"))
        destination, target = _parse_target(request)
        address = await self._authorize(destination)
        try:
            reader, writer = await self._open_connection(address, destination)
        except (OSError, TimeoutError) as error:
            status = 504 if isinstance(error, TimeoutError) else 502
            raise RefusedError(status, f"Cannot connect to {destination}: {error or 'no response in time'}") from None
        relay = Relay(self._http, (self._reader, self._writer), (reader, writer), self._bounds.idle_seconds)
        try:
            if request.method == b"CONNECT":
                await relay.run_tunnel()
            elif await relay.forward_request(request, str(destination), target):
                await close_gracefully(
                    self._reader, self._writer, self._bounds.linger_seconds, self._bounds.linger_bytes
                )
            else:
                raise RefusedError(502, f"{destination} sent no valid response.")
        finally:
            writer.transport.abort()

    async def _read_head(self) -> h11.Request | None:
        try:
            async with asyncio.timeout(self._bounds.head_seconds):
                while (event := self._http.next_event()) is h11.NEED_DATA:
                    self._http.receive_data(await self._reader.read(CHUNK_BYTES))
        except TimeoutError:
            raise RefusedError(408, "The request took too long to arrive.") from None
        except h11.RemoteProtocolError as error:
            raise RefusedError(error.error_status_hint, f"Invalid HTTP: {error}") from None
        return event if isinstance(event, h11.Request) else None

    async def _authorize(self, destination: Destination) -> Address:
        """Chooses the address and reports the decision. Raises RefusedError."""
        try:
            async with asyncio.timeout(self._bounds.connect_seconds):
                address = await self._proxy.choose_address(destination)
        except TimeoutError:
            message = f"{destination} refused: the name does not resolve in time"
            await self._proxy.report_event("network_refused", message)
            raise RefusedError(504, message) from None
        except RefusedError as error:
            await self._proxy.report_event("network_refused", error.event_message)
            raise
        await self._proxy.report_event("network_allowed", f"{destination}{_format_address(destination, address)}")
        return address

    async def _open_connection(
        self, address: Address, destination: Destination
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connects to this address; the name is not resolved again."""
        if isinstance(address, IPv6Address):
            raise OSError("a run's network has no IPv6")
        async with asyncio.timeout(self._bounds.connect_seconds):
            return await asyncio.open_connection(str(address), destination.port, limit=CHUNK_BYTES)

    async def _send_error(self, error: RefusedError) -> None:
        """Sends the message also as the reason phrase: after a CONNECT many clients show only the status line."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        text = f"cronium: {error.message}"[:300].encode("ascii", "replace")
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(text) + 1)), ("Connection", "close")]
        if error.status == 407:
            headers.append(("Proxy-Authenticate", 'Basic realm="cronium"'))
        events = [h11.Response(status_code=error.status, headers=headers, reason=text), h11.EndOfMessage()]
        if not self._is_head_request:
            events.insert(1, h11.Data(data=text + b"\n"))
        async with asyncio.timeout(self._bounds.head_seconds):
            self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
            await self._writer.drain()
        await close_gracefully(self._reader, self._writer, self._bounds.linger_seconds, self._bounds.linger_bytes)


def _parse_target(request: h11.Request) -> tuple[Destination, bytes]:
    """Returns the destination and the path. Raises RefusedError."""
    text = request.target.decode("ascii", "replace")
    names = {name for name, _ in request.headers}
    try:
        if request.method == b"CONNECT":
            if names & {b"content-length", b"transfer-encoding"}:
                raise ValueError("A CONNECT request must not have a body.")
            return parse_destination(text), b""
        url = URL.fullmatch(text)
        if url is None:
            raise ValueError("The proxy expects http://host/path, or CONNECT host:port for https.")
        path = url["path"] or "/"
        return parse_destination(url["authority"], 80), (path if path[0] == "/" else f"/{path}").encode("ascii")
    except ValueError as error:
        raise RefusedError(400, str(error)) from None
