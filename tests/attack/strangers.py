"""Attacks by strangers on a server on loopback, each for some seconds: `python -m tests.attack.strangers KIND PORT`.

Prints one line of JSON: how many connections were made, and which statuses came back.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

SECONDS = 15.0
AT_ONCE = 2000
HOST = "127.0.0.1"
seen: Counter[str] = Counter()


async def _status(reader: asyncio.StreamReader) -> None:
    line = await asyncio.wait_for(reader.readline(), 30)
    seen[line[9:12].decode(errors="replace") or "closed"] += 1


async def _open(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    seen["connections"] += 1
    return await asyncio.open_connection(HOST, port)


async def _repeat(port: int, until: float, head: bytes, *, wait: bool = True) -> None:
    """Connect, send, read the status, again and again."""
    while time.monotonic() < until:
        try:
            reader, writer = await _open(port)
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

    async def send() -> None:
        while time.monotonic() < until:
            try:
                _, writer = await _open(port)
                writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
                while time.monotonic() < until:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(1)
                writer.close()
            except OSError:
                seen["closed"] += 1
                await asyncio.sleep(0.2)

    await asyncio.gather(*(send() for _ in range(AT_ONCE)))


ATTACKS: dict[str, Callable[[int, float], Awaitable[None]]] = {
    "bodies": bodies,
    "requests": requests,
    "forged": forged,
    "sockets": sockets,
    "heads": heads,
}

if __name__ == "__main__":
    asyncio.run(ATTACKS[sys.argv[1]](int(sys.argv[2]), time.monotonic() + SECONDS))  # type: ignore[arg-type]
    sys.stdout.write(json.dumps(dict(seen)) + "\n")
