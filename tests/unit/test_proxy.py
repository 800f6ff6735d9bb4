"""The sidecar's proxy in this process over loopback: allowed destinations, forwarded data, recorded events; no
engine."""

import asyncio
import base64
import hashlib
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "images" / "runtime-api"))

from sidecar import proxy
from sidecar.config import Config, Egress
from sidecar.control import BackendUnavailableError
from sidecar.proxy import Bounds, Proxy

TOKEN = "the.run.token"
MIB = 1024 * 1024
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def basic(token: str = TOKEN, user: str = "cronium") -> str:
    return f"Proxy-Authorization: Basic {base64.b64encode(f'{user}:{token}'.encode()).decode()}\r\n"


@dataclass
class Told:
    """A fake of the channel with the methods that the proxy uses."""

    events: list[tuple[str, str]] = field(default_factory=list)
    gone: bool = False

    async def send_event(self, kind: str, message: str) -> None:
        if self.gone:
            raise BackendUnavailableError
        self.events.append((kind, message))


@dataclass
class Site:
    """A server outside: answers every connection with `answer`, and records the received data."""

    port: int = 0
    answer: bytes = PLAIN
    seen: bytearray = field(default_factory=bytearray)
    connections: int = 0
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.serve:
                await self.serve(reader, writer)
                return
            while b"\r\n\r\n" not in self.seen:
                self.seen += await reader.read(65536)
            writer.write(self.answer)
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@dataclass
class World:
    """A proxy, its port, a site outside, and the recorded events."""

    proxy: Proxy
    port: int
    site: Site
    told: Told

    async def open(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        return reader, writer

    async def raw(self, data: bytes) -> bytes:
        """Sends, and reads until the proxy closes."""
        reader, writer = await self.open(data)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.transport.abort()

    async def ask(self, line: str, headers: str = "", body: bytes = b"", auth: str | None = None) -> bytes:
        host = f"Host: elsewhere.example\r\n{basic() if auth is None else auth}{headers}\r\n"
        return await self.raw(f"{line} HTTP/1.1\r\n{host}".encode() + body)

    @property
    def where(self) -> str:
        return f"site.example:{self.site.port}"


@pytest.fixture
async def make(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Awaitable[World]]]:
    """A proxy for which loopback is public and `*.example` resolves to it."""
    judged = proxy.find_refusal_reason
    listeners: list[asyncio.Server] = []
    monkeypatch.setattr(
        proxy,
        "find_refusal_reason",
        lambda address, own, **more: "" if str(address) == "127.0.0.1" else judged(address, own, **more),
    )

    async def build(bounds: Bounds | None = None, allow: tuple[str, ...] = ("site.example:*",), **more: Any) -> World:
        site, told = Site(), Told()
        outside = await asyncio.start_server(site.take, "127.0.0.1", 0)
        site.port = outside.sockets[0].getsockname()[1]
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        config = Config("run", digest, more.get("expires", time.monotonic() + 60), {}, b"{}", b"null")
        made = Proxy(config, Egress("127.0.0.1", allow, ("10.213.0.8/29",)), told, bounds)  # type: ignore[arg-type]
        inside = await made.start("127.0.0.1", 0)
        listeners.extend((outside, inside))
        return World(made, inside.sockets[0].getsockname()[1], site, told)

    names = {
        b"site.example": ["127.0.0.1"],
        b"mixed.example": ["127.0.0.1", "10.0.0.1"],
        b"meta.example": ["169.254.169.254"],
    }

    async def resolve(host: bytes, port: int, **_: Any) -> list[Any]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in names[host]]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    yield build
    for one in listeners:
        one.close()


@pytest.fixture
async def world(make: Callable[..., Awaitable[World]]) -> World:
    return await make()


# Authentication.


@pytest.mark.parametrize(
    "auth",
    [
        *(
            "",
            basic("another.run.token"),
            basic(""),
            "Proxy-Authorization: Basic !!!\r\n",
            "Proxy-Authorization: x\r\n",
        ),
        *(f"Proxy-Authorization: Bearer {TOKEN}\r\n", f"Authorization: Basic {basic().split()[2]}\r\n"),
    ],
)
@pytest.mark.parametrize("line", ["CONNECT {where}", "GET http://{where}/"])
async def test_who_has_no_token_gets_407_and_nobody_is_connected(world: World, line: str, auth: str) -> None:
    answer = await world.ask(line.format(where=world.where), auth=auth)
    assert answer.startswith(b"HTTP/1.1 407 ")
    assert b'Proxy-Authenticate: Basic realm="cronium"' in answer
    assert (world.site.connections, world.told.events) == (0, [])


async def test_a_token_that_has_expired_opens_nothing(make: Callable[..., Awaitable[World]]) -> None:
    world = await make(expires=time.monotonic() - 1)
    assert b"expired" in await world.ask(f"GET http://{world.where}/")
    assert world.site.connections == 0


# Where to.


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("GET http://other.example/", 403, "other.example:80 refused: not in the job's list of destinations"),
        ("CONNECT other.example:443", 403, "other.example:443 refused: not in the job's list of destinations"),
        ("CONNECT mixed.example:443", 403, "mixed.example:443 (10.0.0.1) refused: private address"),
        ("GET http://meta.example/latest", 403, "meta.example:80 (169.254.169.254) refused: metadata address"),
        ("GET http://10.213.0.10:8081/", 403, "10.213.0.10:8081 refused: the run's own network"),
        ("CONNECT [::1]:80", 403, "[::1]:80 refused: loopback address"),
        ("GET http://nowhere.example/", 502, "nowhere.example:80 refused: the name does not resolve"),
    ],
)
async def test_what_is_refused_is_told_and_not_connected(
    make: Callable[..., Awaitable[World]], line: str, status: int, said: str
) -> None:
    allow = ("mixed.example:*", "meta.example:*", "nowhere.example:*", "10.213.0.10:8081", "[::1]:80")
    world = await make(allow=allow)
    answer = await world.ask(line)
    assert answer.startswith(f"HTTP/1.1 {status} cronium: {said}".encode())
    assert answer.endswith(f"cronium: {said}\n".encode())
    assert world.told.events == [("network_refused", said)]
    assert world.site.connections == 0


async def test_a_name_that_is_pointed_elsewhere_between_two_looks_is_looked_up_once(
    make: Callable[..., Awaitable[World]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the checked address is the connected one, and the next request is checked again."""
    world = await make()
    asked: list[bytes] = []
    # Here 127.0.0.1 counts as public. Nothing may reach 127.0.0.2, which is loopback.
    answers = ["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"]

    async def rebind(host: bytes, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[len(asked) - 1], port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebind)
    for count, status in enumerate((200, 403, 200, 403), 1):
        answer = await world.ask(f"GET http://{world.where}/")
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert len(asked) == count
    assert world.site.connections == 2
    assert [kind for kind, _ in world.told.events] == ["network_allowed", "network_refused"] * 2


@pytest.mark.parametrize(
    "line",
    [
        *(
            "GET /path",
            "GET https://site.example/",
            "GET ftp://site.example/",
            "GET http://",
            "GET http://u:p@site.example/",
        ),
        *("GET http://site.example:0/", "CONNECT site.example", "CONNECT http://site.example:80", "OPTIONS *"),
        *("GET http://site.example/#x", "CONNECT site.example:80/x"),
    ],
)
async def test_what_is_no_proxy_request_gets_400(world: World, line: str) -> None:
    assert (await world.ask(line)).startswith(b"HTTP/1.1 400 ")
    assert (world.site.connections, world.told.events) == (0, [])


async def test_a_connect_with_a_body_is_refused(world: World) -> None:
    answer = await world.ask(f"CONNECT {world.where}", "Content-Length: 3\r\n", b"abc")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert world.site.connections == 0


async def test_nothing_is_let_out_that_nobody_can_note(world: World) -> None:
    world.told.gone = True
    assert (await world.ask(f"GET http://{world.where}/")).startswith(b"HTTP/1.1 503 ")
    assert (await world.ask(f"CONNECT {world.where}")).startswith(b"HTTP/1.1 503 ")
    assert world.site.connections == 0


async def test_who_does_not_listen_is_a_502(make: Callable[..., Awaitable[World]]) -> None:
    world = await make()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    answer = await world.ask(f"CONNECT site.example:{port}")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert world.told.events == [("network_allowed", f"site.example:{port} (127.0.0.1)")]


# Forwarded requests.


async def test_a_request_arrives_with_its_own_host_and_without_what_is_the_proxys(world: World) -> None:
    headers = "X-Mine: 1\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n"
    answer = await world.ask(f"GET http://SITE.example:{world.site.port}/a?b=http://c/%20", headers)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"ok")
    head, *lines = bytes(world.site.seen).decode().strip().split("\r\n")
    assert head == "GET /a?b=http://c/%20 HTTP/1.1"
    assert {line.lower() for line in lines} == {f"host: {world.where}", "x-mine: 1", "connection: close"}
    assert TOKEN not in bytes(world.site.seen).decode()
    assert base64.b64encode(f"cronium:{TOKEN}".encode()) not in world.site.seen
    assert world.told.events == [("network_allowed", f"{world.where} (127.0.0.1)")]


SMUGGLED = b"0\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (f"Content-Length: {len(SMUGGLED)}\r\nTransfer-Encoding: chunked\r\n", SMUGGLED),
        ("Transfer-Encoding: chunked\r\n", SMUGGLED),
        ("Content-Length: 0\r\n", SMUGGLED),
    ],
)
async def test_a_second_request_behind_the_first_is_never_passed_on(world: World, headers: str, body: bytes) -> None:
    await world.ask(f"POST http://{world.where}/first", headers, body)
    assert b"/first" in world.site.seen
    assert b"/second" not in world.site.seen
    assert not (b"content-length" in world.site.seen.lower() and b"transfer-encoding" in world.site.seen.lower())


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: +1\r\n",
        "Transfer-Encoding : chunked\r\n",
    ],
)
async def test_a_body_of_unclear_length_is_refused(world: World, headers: str) -> None:
    answer = await world.ask(f"POST http://{world.where}/", headers, b"1\r\na\r\n0\r\n\r\n")
    assert answer[9:12] in (b"400", b"501")
    assert world.site.connections == 0


async def test_bodies_go_both_ways_whole(world: World) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        received = await reader.readexactly(3 * MIB)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n")
        writer.write(b"%x\r\n" % len(received) + received + b"\r\n0\r\n\r\n")
        await writer.drain()

    world.site.serve = echo
    sent = bytes(range(256)) * (3 * MIB // 256)
    answer = await world.ask(f"PUT http://{world.where}/", f"Content-Length: {len(sent)}\r\n", sent)
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 Made")
    assert b"x-a: b" in head.lower()
    assert dechunked(rest) == sent


def dechunked(data: bytes) -> bytes:
    whole = b""
    while (size := int(data.partition(b"\r\n")[0], 16)) > 0:
        start = data.index(b"\r\n") + 2
        whole, data = whole + data[start : start + size], data[start + size + 2 :]
    return whole


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", b""),
        ("GET", b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"d\r\nuntil the end\r\n0\r\n\r\n"),
        ("GET", b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!", b"no!"),
    ],
)
async def test_answers_of_every_shape_come_back(world: World, method: str, answer: bytes, expected: bytes) -> None:
    world.site.answer = answer
    head, _, rest = (await world.ask(f"{method} http://{world.where}/")).partition(b"\r\n\r\n")
    assert head[9:12] == answer[9:12]
    assert rest == expected


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"]
)
async def test_an_answer_that_is_none_is_a_502(world: World, answer: bytes) -> None:
    world.site.answer = answer
    assert (await world.ask(f"GET http://{world.where}/")).startswith(b"HTTP/1.1 502 ")


async def test_an_answer_cut_short_does_not_look_whole(world: World) -> None:
    world.site.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    answer = await world.ask(f"GET http://{world.where}/")
    assert b"hello" in answer
    assert not answer.endswith(b"0\r\n\r\n")


async def test_a_head_that_is_refused_has_no_body(world: World) -> None:
    head, _, rest = (await world.ask("HEAD http://other.example/")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 ")
    assert rest == b""


# Tunnels.


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data.upper())
        await writer.drain()
    writer.write(b"the end")
    await writer.drain()


async def test_a_tunnel_carries_bytes_both_ways_and_ends_by_halves(world: World) -> None:
    world.site.serve = upper
    early = f"CONNECT {world.where} HTTP/1.1\r\nHost: {world.where}\r\n{basic()}\r\nearly ".encode()
    reader, writer = await world.open(early)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.write(b"a\0b" * 100_000)
    writer.write_eof()
    whole = await asyncio.wait_for(reader.read(), 10)
    assert whole == b"EARLY " + b"A\0B" * 100_000 + b"the end"
    writer.transport.abort()


async def test_a_tunnel_in_which_nothing_moves_is_closed(make: Callable[..., Awaitable[World]]) -> None:
    world = await make(Bounds(idle_seconds=0.3))
    world.site.serve = upper
    reader, writer = await world.open(f"CONNECT {world.where} HTTP/1.1\r\nHost: x\r\n{basic()}\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    for _ in range(5):  # longer than the limit, and never idle for it
        await asyncio.sleep(0.1)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"X"
    began = time.monotonic()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert time.monotonic() - began < 2
    writer.transport.abort()


async def test_who_does_not_read_holds_the_sender_back(world: World) -> None:
    """Memory is constant: the proxy does not read what the client does not take."""
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(bytes(MIB))
            await writer.drain()
            sent += MIB

    world.site.serve = flood
    reader, writer = await world.open(f"CONNECT {world.where} HTTP/1.1\r\nHost: x\r\n{basic()}\r\n".encode())
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    last = -1
    while sent != last:  # until nothing moves any more
        last = sent
        await asyncio.sleep(0.3)
    assert sent < 64 * MIB
    writer.transport.abort()
    assert reader is not None


# Bounds.


async def test_too_many_connections_are_refused_and_the_next_is_served_again(
    make: Callable[..., Awaitable[World]],
) -> None:
    world = await make(Bounds(connections=2))
    world.site.serve = upper
    held = []
    for _ in range(2):
        reader, writer = await world.open(f"CONNECT {world.where} HTTP/1.1\r\nHost: x\r\n{basic()}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        held.append((reader, writer))
    assert (await world.raw(b"")).startswith(b"HTTP/1.1 503 ")
    held[0][1].write_eof()
    assert await held[0][0].read() == b"the end"
    held[0][1].close()
    while world.proxy._connections > 1:
        await asyncio.sleep(0.01)
    world.site.serve = None
    assert (await world.ask(f"GET http://{world.where}/")).startswith(b"HTTP/1.1 200 ")
    held[1][1].transport.abort()


async def test_a_head_that_is_large_or_slow_is_refused(make: Callable[..., Awaitable[World]]) -> None:
    world = await make(Bounds(head_seconds=0.3))
    large = await world.raw(b"GET http://x/ HTTP/1.1\r\nX: " + b"x" * 100_000)
    assert large[9:12] in (b"431", b"400")
    assert (await world.raw(b"GET http://x/ HT")).startswith(b"HTTP/1.1 408 ")
