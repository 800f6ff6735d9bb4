"""`manage.py serve`: web and executor in one process."""

import asyncio
import logging
import signal
import socket
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand

from cronium_admin.logs.maintenance import Keeper
from cronium_admin.retention.ends import sweep
from cronium_admin.web import lifespan
from cronium_admin.web.edge.acceptor import Acceptor, listen
from cronium_admin.web.edge.protocol import HttpProtocol, WebSocketProtocol
from cronium_admin.web.edge.server_log import LoopErrors
from cronium_admin.web.static_files import collect
from cronium_admin.workers import preflight
from cronium_admin.workers.hosts.models import EMBEDDED
from cronium_admin.workers.hosts.names import host_name
from cronium_admin.workers.process import Worker, current
from cronium_admin.workers.shutdown import end_by, leaving_seconds

log = logging.getLogger("cronium.process")
# Open pages reconnect by themselves, so a stopping server does not wait for them.
DRAIN_SECONDS = 1
ended_by: list[int] = []  # signals, as they came


class _Server(uvicorn.Server):
    """Remembers what ended it, and accepts its connections through acceptors."""

    acceptors: Sequence[Acceptor] = ()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(LoopErrors())
        await super().startup([])  # uvicorn itself listens nowhere
        try:
            listeners = listen(self.config.host, self.config.port)
        except OSError as error:
            log.error("%s", error)
            await self.lifespan.shutdown()
            sys.exit(1)
        self.acceptors = [Acceptor(listener, HttpProtocol.guard, self._make_protocol) for listener in listeners]
        for acceptor in self.acceptors:
            acceptor.open()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self.acceptors:
            acceptor.close()
        await super().shutdown([])

    def _make_protocol(self, member: str) -> asyncio.Protocol:
        protocol = HttpProtocol(self.config, self.server_state, self.lifespan.state)
        protocol.member = member
        return protocol

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        ended_by.append(sig)
        if len(ended_by) > 1 and (worker := current()):
            threading.Thread(target=worker.hurry, name="signals", daemon=True).start()
        super().handle_exit(sig, frame)


def announce(command: BaseCommand, words: str) -> None:
    """To people; where machines read, as a line of the log like all others."""
    if settings.CONFIG.log_format == "json":
        log.info("%s", words)
    else:
        command.stdout.write(words)


def run_server(application: Any = "cronium_admin.web.asgi:application") -> None:
    """uvicorn on the configured address, in the foreground, until SIGINT or SIGTERM."""
    host, port = settings.CONFIG.host, settings.CONFIG.port
    preflight.refuse_taken(host, port)
    collect()
    server = _Server(
        uvicorn.Config(
            application,
            host=host,
            port=port,
            lifespan="on",
            loop="asyncio",  # the same on every machine: uvicorn would take uvloop wherever it finds it
            log_config=None,  # as all else: see LOGGING
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            http=HttpProtocol,
            ws=WebSocketProtocol,
            proxy_headers=bool(settings.CONFIG.trusted_proxies),
            forwarded_allow_ips=list(settings.CONFIG.trusted_proxies),
            ws_max_size=64 * 1024,
            ws_per_message_deflate=False,
            server_header=False,
        )
    )
    with suppress(KeyboardInterrupt):  # uvicorn has ended everything by then, and raises the signal once more
        server.run()


def _stop(worker: Worker) -> None:
    hand_over = ended_by[:1] == [signal.SIGTERM]
    end_by(leaving_seconds(hand_over=hand_over) + DRAIN_SECONDS)
    worker.stop(hand_over=hand_over)


class Command(BaseCommand):
    help = "Web and executor in one process: SQLite, in-memory channel layer and broker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host-name", type=host_name, default=EMBEDDED, help="the executor's name, as runs show it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        preflight.refuse_unusable_database()
        worker, keeper = Worker(options["host_name"]), Keeper(sweep)
        lifespan.on_start += [worker.start, keeper.start]
        lifespan.on_stop += [lambda: _stop(worker), keeper.stop]
        address = f"http://{settings.CONFIG.host}:{settings.CONFIG.port}"
        announce(self, f"Cronium is at {address} (Ctrl-C stops its runs and ends it)")
        run_server()
