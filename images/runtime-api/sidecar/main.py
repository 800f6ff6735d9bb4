"""From the first line on standard input to "ready" and on until the end. It wires the parts and holds no rule."""

from __future__ import annotations

import asyncio
import socket
import sys

from sidecar.api import Api
from sidecar.config import Config, ConfigError, Egress, parse_config
from sidecar.control import Channel
from sidecar.http import MIB, Server

NAME = "runtime-api"
PORT = 8081
# The first line carries the run's input; an answer may be as large as a variable.
MAX_LINE_BYTES = 64 * MIB


class StartError(Exception):
    """The sidecar can't do its work; the message says why."""


async def open_pipes() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Standard input and output as streams."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout.buffer)
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)


async def read_config(reader: asyncio.StreamReader) -> Config:
    """The first line; raises StartError when there is none or it is not a configuration."""
    try:
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise StartError("standard input ended before the configuration was complete")
        return parse_config(line)
    except (ValueError, ConfigError) as error:
        raise StartError(str(error)) from None


async def check_self(name: str, port: int) -> None:
    """Ask for our own health by the name the job will use: ready means that this works."""
    try:
        address = socket.gethostbyname(name)
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(f"GET /health HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        status = await reader.readline()
        writer.transport.abort()
    except OSError as error:
        raise StartError(f"http://{name}:{port}/health does not answer: {error}") from None
    if b" 200 " not in status:
        raise StartError(f"http://{name}:{port}/health answers {status!r}")


async def start_proxy(config: Config, egress: Egress, channel: Channel) -> asyncio.Server:
    """The way out of a run that has one; ValueError when its list has a pattern that is none.

    Loaded here, because every run waits for the start and few have a way out.
    """
    from sidecar.proxy import PROXY_PORT, Proxy

    return await Proxy(config, egress, channel).start(egress.address, PROXY_PORT)


async def serve(name: str = NAME, host: str = "0.0.0.0", port: int = PORT) -> None:  # noqa: S104 - one leg, one net
    """Run until the process is ended; raises StartError."""
    reader, writer = await open_pipes()
    config = await read_config(reader)
    channel = Channel(reader, writer)
    listening = asyncio.create_task(channel.listen())
    # With a second leg, which leads outside, both servers listen on the job's alone.
    host, name = (config.egress.address, config.egress.address) if config.egress else (host, name)
    try:
        server = await Server(Api(config, channel)).start(host, port)
        if config.egress:
            await start_proxy(config, config.egress, channel)
    except (OSError, ValueError) as error:
        raise StartError(f"can't listen on {host}: {error}") from None
    async with server:
        await check_self(name, port)
        channel.ready()
        await listening
        # Standard input has ended, so no worker can attach again. What needs none goes on.
        await asyncio.Event().wait()


def main(arguments: list[str]) -> int:
    """`--check` only proves that everything loads; otherwise serve."""
    if arguments == ["--check"]:
        import sidecar.proxy  # noqa: F401 - loaded only by the runs that need it, but always there

        return 0
    try:
        asyncio.run(serve())
    except StartError as error:
        print(f"runtime-api: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 0
    return 0
