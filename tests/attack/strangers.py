"""Attacks on a server on loopback, each for some seconds: `python -m tests.attack.strangers KIND PORT RUN TOKEN...`.

RUN is a run that writes its log meanwhile; the tokens are those of people who are signed in. Prints one line of JSON:
how many connections were made, and which statuses came back.
"""

import asyncio
import gzip
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

SECONDS = 15.0
AT_ONCE = 2000
MANY = 10_000
HOST = "127.0.0.1"
RUN, TOKENS = "".join(sys.argv[3:4]), sys.argv[4:]
seen: Counter[str] = Counter()


async def _status(reader: asyncio.StreamReader) -> None:
    line = await asyncio.wait_for(reader.readline(), 30)
    seen[line[9:12].decode(errors="replace") or "closed"] += 1


async def _open(port: int, source: str = HOST) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    seen["connections"] += 1
    return await asyncio.open_connection(HOST, port, local_addr=(source, 0))


async def _repeat(port: int, until: float, head: bytes, *, wait: bool = True, source: str = HOST) -> None:
    """Connect, send, read the status, again and again."""
    while time.monotonic() < until:
        try:
            reader, writer = await _open(port, source)
            writer.write(head)
            if wait:
                await _status(reader)
            else:
                await asyncio.wait_for(reader.read(), max(0.1, until - time.monotonic()))
            writer.close()
        except (OSError, TimeoutError):
            seen["failed"] += 1
            await asyncio.sleep(0.2)


async def bodies(port: int, until: float) -> None:
    """Three chunked bodies of 1.5 GB to /health, where nobody wants one."""

    async def send() -> None:
        reader, writer = await _open(port)
        writer.write(b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        with suppress(OSError):
            for _ in range(1500):
                if time.monotonic() > until:
                    break
                writer.write(piece)
                seen["megabytes"] += 1
                await writer.drain()
        with suppress(OSError, TimeoutError):
            await _status(reader)
        writer.close()

    while time.monotonic() < until:
        await asyncio.gather(*(send() for _ in range(3)))


async def requests(port: int, until: float) -> None:
    head = b"GET /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    await asyncio.gather(*(_repeat(port, until, head) for _ in range(AT_ONCE)))


async def spread(port: int, until: float) -> None:
    """The same from 200 addresses."""
    head = b"GET /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    sources = [f"127.0.{number % 200 + 1}.1" for number in range(AT_ONCE)]
    await asyncio.gather(*(_repeat(port, until, head, source=source) for source in sources))


async def forged(port: int, until: float) -> None:
    """With tokens that are none: each costs a look."""
    head = b"GET /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer crn_%d\r\n\r\n"
    await asyncio.gather(*(_repeat(port, until, head % number) for number in range(AT_ONCE)))


async def sockets(port: int, until: float) -> None:
    head = (
        b"GET /ws/runs/00000000-0000-0000-0000-000000000000/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await asyncio.gather(*(_repeat(port, until, head, wait=False) for _ in range(AT_ONCE)))


async def heads(port: int, until: float) -> None:
    """Heads that never end, a byte a second."""
    await _trickle(port, until, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")


async def posts(port: int, until: float) -> None:
    """Bodies that come a byte a second."""
    await _trickle(port, until, b"POST /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n")


async def _trickle(port: int, until: float, begun: bytes) -> None:
    """Send `begun` on each connection, and then a byte a second."""

    async def send() -> None:
        while time.monotonic() < until:
            try:
                _, writer = await _open(port)
                writer.write(begun)
                while time.monotonic() < until:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(1)
                writer.close()
            except OSError:
                seen["closed"] += 1
                await asyncio.sleep(0.2)

    await asyncio.gather(*(send() for _ in range(AT_ONCE)))


def _follow(token: str, *, is_socket: bool) -> bytes:
    path = f"/ws/runs/{RUN}/logs" if is_socket else f"/api/v1/runs/{RUN}/logs/follow"
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    if is_socket:
        head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    return f"{head}\r\n".encode()


async def _stay(port: int, until: float, head: bytes) -> None:
    """Read all that comes until the attack ends; come again after a pause when the server ends it."""
    while time.monotonic() < until:
        try:
            reader, writer = await _open(port)
            writer.write(head)
            await _status(reader)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.1, until - time.monotonic())):
                    while piece := await reader.read(65536):
                        seen["bytes"] += len(piece)
            writer.close()
        except (OSError, TimeoutError):
            seen["failed"] += 1
        await asyncio.sleep(1)


async def follows(port: int, until: float) -> None:
    """Streams and sockets on a live log, by nobody."""
    heads = [_follow("", is_socket=number % 2 == 1) for number in range(AT_ONCE)]
    await asyncio.gather(*(_stay(port, until, head) for head in heads))


async def followers(port: int, until: float) -> None:
    """Streams and sockets on a live log, by people who are signed in."""
    heads = [_follow(TOKENS[number // 2 % len(TOKENS)], is_socket=number % 2 == 1) for number in range(AT_ONCE)]
    await asyncio.gather(*(_stay(port, until, head) for head in heads))


async def silent(port: int, until: float) -> None:
    """Ten thousand connections, or as many as the system lets one process have, that say nothing."""
    most = min(MANY, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100)

    async def stay(number: int) -> None:
        await asyncio.sleep(number % 100 / 50)
        with suppress(OSError, TimeoutError):
            reader, writer = await _open(port, f"127.0.0.{number % 200 + 1}")
            async with asyncio.timeout(max(0.1, until - time.monotonic())):
                await _status(reader)
            writer.close()

    await asyncio.gather(*(stay(number) for number in range(most)))


async def packed(port: int, until: float) -> None:
    """Bodies of 8 KB that unpack to 8 MB, by somebody who is signed in."""
    body = gzip.compress(b"[" * 8_000_000)
    head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKENS[0]}\r\n"
    head += f"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    await asyncio.gather(*(_repeat(port, until, head.encode() + body) for _ in range(50)))


ATTACKS: dict[str, Callable[[int, float], Awaitable[None]]] = {
    "bodies": bodies,
    "requests": requests,
    "spread": spread,
    "forged": forged,
    "sockets": sockets,
    "heads": heads,
    "posts": posts,
    "follows": follows,
    "followers": followers,
    "silent": silent,
    "packed": packed,
}

if __name__ == "__main__":
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    asyncio.run(ATTACKS[sys.argv[1]](int(sys.argv[2]), time.monotonic() + SECONDS))  # type: ignore[arg-type]
    sys.stdout.write(json.dumps(dict(seen)) + "\n")
