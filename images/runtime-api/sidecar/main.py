"""Starts the sidecar: reports "loaded", reads the configuration from standard input, starts the servers and reports
"ready".

A sidecar that waits for a run first gets `listen`: it starts its server and reports "listening".
"""

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
# The first line holds the run's input; an answer of the worker may hold a variable.
MAX_LINE_BYTES = 64 * MIB
LISTEN = b'{"type":"listen"}\n'
# Standard input stays open when a worker dies. Without a limit, a sidecar that was started ahead would wait forever.
WAIT_SECONDS = 2 * 3600


class StartError(Exception):
    """The sidecar cannot start; the message gives the reason."""


async def open_pipes() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout.buffer)
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)


async def read_line(reader: asyncio.StreamReader, seconds: float = WAIT_SECONDS) -> bytes:
    """Raises StartError if no whole line comes within `seconds`."""
    try:
        line = await asyncio.wait_for(reader.readline(), seconds)
    except TimeoutError:
        raise StartError(f"no configuration came within {seconds:g} s") from None
    except ValueError as error:
        raise StartError(str(error)) from None
    if not line.endswith(b"\n"):
        raise StartError("standard input ended before the configuration was complete")
    return line


async def check_health(name: str, port: int) -> None:
    """Requests the sidecar's own /health under the name that the job uses; raises StartError if that fails."""
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


async def start_server(api: Api, host: str, name: str, port: int) -> asyncio.Server:
    """Starts the server of the routes, and requests it under `name`. Raises StartError."""
    try:
        server = await Server(api).start(host, port)
    except OSError as error:
        raise StartError(f"can't listen on {host}: {error}") from None
    await check_health(name, port)
    return server


async def start_proxy(config: Config, egress: Egress, channel: Channel) -> asyncio.Server:
    """Starts the egress proxy. Raises StartError, also on an invalid pattern."""
    # Imported here: it would delay the start of every run, and few runs have egress.
    from sidecar.proxy import PROXY_PORT, Proxy

    try:
        return await Proxy(config, egress, channel).start(egress.address, PROXY_PORT)
    except (OSError, ValueError) as error:
        raise StartError(f"can't listen on {egress.address}: {error}") from None


async def run_sidecar(name: str = NAME, host: str = "0.0.0.0", port: int = PORT) -> None:  # noqa: S104 - only the job's network
    reader, writer = await open_pipes()
    channel = Channel(reader, writer)
    channel.send_message({"type": "loaded"})
    line, api = await read_line(reader), Api(channel)
    server: asyncio.Server | None = None
    if line == LISTEN:
        server = await start_server(api, host, name, port)
        channel.send_message({"type": "listening"})
        line = await read_line(reader)
    try:
        config = parse_config(line)
    except ConfigError as error:
        raise StartError(str(error)) from None
    api.configure(config)
    receive_task = asyncio.create_task(channel.receive_answers())
    if config.egress:
        if server:
            raise StartError("with egress, the sidecar must not listen before its configuration")
        # The sidecar also has an external network: both servers then listen on the job's network only.
        host = name = config.egress.address
        await start_proxy(config, config.egress, channel)
    async with server or await start_server(api, host, name, port):
        channel.announce_ready()
        await receive_task
        # Standard input has ended: no worker can attach again. Routes that need no worker stay available.
        await asyncio.Event().wait()


def main(arguments: list[str]) -> int:
    """`--check` only imports all modules; otherwise runs the sidecar."""
    if arguments == ["--check"]:
        import sidecar.proxy  # noqa: F401 - checks that the import works

        return 0
    try:
        asyncio.run(run_sidecar())
    except StartError as error:
        print(f"runtime-api: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 0
    return 0
