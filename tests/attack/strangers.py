"""Attacks a server on loopback for 15 seconds: `python -m tests.attack.strangers KIND PORT RUN TOKEN...`.

RUN is a run that writes a log. TOKENs are valid API tokens. Prints one line of JSON: the number of connections and of
each response status.
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
CONNECTIONS = 2000
SILENT_CONNECTIONS = 10_000
HOST = "127.0.0.1"
RUN, TOKENS = "".join(sys.argv[3:4]), sys.argv[4:]
counts: Counter[str] = Counter()


async def _read_status(reader: asyncio.StreamReader) -> None:
    line = await asyncio.wait_for(reader.readline(), 30)
    counts[line[9:12].decode(errors="replace") or "closed"] += 1


async def _open_connection(port: int, source: str = HOST) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    counts["connections"] += 1
    return await asyncio.open_connection(HOST, port, local_addr=(source, 0))


async def _request_repeatedly(port: int, until: float, head: bytes, *, wait: bool = True, source: str = HOST) -> None:
    while time.monotonic() < until:
        try:
            reader, writer = await _open_connection(port, source)
            writer.write(head)
            if wait:
                await _read_status(reader)
            else:
                await asyncio.wait_for(reader.read(), max(0.1, until - time.monotonic()))
            writer.close()
        except (OSError, TimeoutError):
            counts["failed"] += 1
            await asyncio.sleep(0.2)


async def send_bodies(port: int, until: float) -> None:
    """Sends three chunked bodies of 1.5 GB to /health, which takes no body."""

    async def send_body() -> None:
        reader, writer = await _open_connection(port)
        writer.write(b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        with suppress(OSError):
            for _ in range(1500):
                if time.monotonic() > until:
                    break
                writer.write(piece)
                counts["megabytes"] += 1
                await writer.drain()
        with suppress(OSError, TimeoutError):
            await _read_status(reader)
        writer.close()

    while time.monotonic() < until:
        await asyncio.gather(*(send_body() for _ in range(3)))


async def send_requests(port: int, until: float) -> None:
    head = b"GET /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    await asyncio.gather(*(_request_repeatedly(port, until, head) for _ in range(CONNECTIONS)))


async def send_requests_from_many_addresses(port: int, until: float) -> None:
    """Uses 200 source addresses."""
    head = b"GET /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    sources = [f"127.0.{number % 200 + 1}.1" for number in range(CONNECTIONS)]
    await asyncio.gather(*(_request_repeatedly(port, until, head, source=source) for source in sources))


async def send_forged_tokens(port: int, until: float) -> None:
    """Sends invalid tokens: each one costs the server a lookup."""
    head = b"GET /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer crn_%d\r\n\r\n"
    await asyncio.gather(*(_request_repeatedly(port, until, head % number) for number in range(CONNECTIONS)))


async def open_websockets(port: int, until: float) -> None:
    head = (
        b"GET /ws/runs/00000000-0000-0000-0000-000000000000/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await asyncio.gather(*(_request_repeatedly(port, until, head, wait=False) for _ in range(CONNECTIONS)))


async def send_endless_heads(port: int, until: float) -> None:
    """Sends a request head without an end, a byte per second."""
    await _send_slowly(port, until, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")


async def send_slow_bodies(port: int, until: float) -> None:
    await _send_slowly(port, until, b"POST /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n")


async def _send_slowly(port: int, until: float, head: bytes) -> None:
    async def send_bytes() -> None:
        while time.monotonic() < until:
            try:
                _, writer = await _open_connection(port)
                writer.write(head)
                while time.monotonic() < until:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(1)
                writer.close()
            except OSError:
                counts["closed"] += 1
                await asyncio.sleep(0.2)

    await asyncio.gather(*(send_bytes() for _ in range(CONNECTIONS)))


def _create_follow_request(token: str, *, is_socket: bool) -> bytes:
    path = f"/ws/runs/{RUN}/logs" if is_socket else f"/api/v1/runs/{RUN}/logs/follow"
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    if is_socket:
        head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    return f"{head}\r\n".encode()


async def _read_stream(port: int, until: float, head: bytes) -> None:
    """Reads the stream until the attack ends. Reconnects after a second if the server closes the connection."""
    while time.monotonic() < until:
        try:
            reader, writer = await _open_connection(port)
            writer.write(head)
            await _read_status(reader)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.1, until - time.monotonic())):
                    while piece := await reader.read(65536):
                        counts["bytes"] += len(piece)
            writer.close()
        except (OSError, TimeoutError):
            counts["failed"] += 1
        await asyncio.sleep(1)


async def follow_log_anonymously(port: int, until: float) -> None:
    """Requests streams and WebSockets of a live log without credentials."""
    heads = [_create_follow_request("", is_socket=number % 2 == 1) for number in range(CONNECTIONS)]
    await asyncio.gather(*(_read_stream(port, until, head) for head in heads))


async def follow_log(port: int, until: float) -> None:
    heads = [
        _create_follow_request(TOKENS[number // 2 % len(TOKENS)], is_socket=number % 2 == 1)
        for number in range(CONNECTIONS)
    ]
    await asyncio.gather(*(_read_stream(port, until, head) for head in heads))


async def open_silent_connections(port: int, until: float) -> None:
    """Opens 10,000 connections, or as many as the process may, and sends nothing."""
    limit = min(SILENT_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100)

    async def wait_for_close(number: int) -> None:
        await asyncio.sleep(number % 100 / 50)
        with suppress(OSError, TimeoutError):
            reader, writer = await _open_connection(port, f"127.0.0.{number % 200 + 1}")
            async with asyncio.timeout(max(0.1, until - time.monotonic())):
                await _read_status(reader)
            writer.close()

    await asyncio.gather(*(wait_for_close(number) for number in range(limit)))


async def send_compressed_bodies(port: int, until: float) -> None:
    """Sends bodies of 8 KB that decompress to 8 MB, with a valid token."""
    body = gzip.compress(b"[" * 8_000_000)
    head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKENS[0]}\r\n"
    head += f"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    await asyncio.gather(*(_request_repeatedly(port, until, head.encode() + body) for _ in range(50)))


ATTACKS: dict[str, Callable[[int, float], Awaitable[None]]] = {
    "bodies": send_bodies,
    "requests": send_requests,
    "spread": send_requests_from_many_addresses,
    "forged": send_forged_tokens,
    "sockets": open_websockets,
    "heads": send_endless_heads,
    "posts": send_slow_bodies,
    "follows": follow_log_anonymously,
    "followers": follow_log,
    "silent": open_silent_connections,
    "packed": send_compressed_bodies,
}

if __name__ == "__main__":
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    asyncio.run(ATTACKS[sys.argv[1]](int(sys.argv[2]), time.monotonic() + SECONDS))  # type: ignore[arg-type]
    sys.stdout.write(json.dumps(dict(counts)) + "\n")
