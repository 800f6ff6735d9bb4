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

from cronium_admin.expectations.judge import ExpectationJudge
from cronium_admin.logs.maintenance import LogMaintenance
from cronium_admin.retention.ends import apply_rules
from cronium_admin.schedules.ticker import ScheduleTicker
from cronium_admin.web import lifespan
from cronium_admin.web.edge.acceptor import Acceptor, open_listeners
from cronium_admin.web.edge.protocol import HttpProtocol, WebSocketProtocol
from cronium_admin.web.edge.server_log import LoopErrorLog
from cronium_admin.web.static_files import collect_static_files
from cronium_admin.workers import preflight
from cronium_admin.workers.hosts.models import EMBEDDED
from cronium_admin.workers.hosts.names import parse_host_name
from cronium_admin.workers.process import Worker, get_current_worker
from cronium_admin.workers.shutdown import compute_shutdown_seconds, schedule_forced_exit

log = logging.getLogger("cronium.process")
# Open pages reconnect on their own, so a stopping server does not wait for them.
DRAIN_SECONDS = 1
# Longer than proxies and clients keep an idle connection (nginx: 60 s): the side that closes first must be the one that
# sends the next request, or that request meets a connection that is being closed.
IDLE_SECONDS = 75
received_signals: list[int] = []  # in the order of their arrival


class _Server(uvicorn.Server):
    """Records the signals that it receives, and accepts its connections through acceptors."""

    acceptors: Sequence[Acceptor] = ()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(LoopErrorLog())
        await super().startup([])  # uvicorn itself listens on no socket
        try:
            listeners = open_listeners(self.config.host, self.config.port)
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
        protocol.credential_id = member
        return protocol

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        received_signals.append(sig)
        if len(received_signals) > 1 and (worker := get_current_worker()):
            threading.Thread(target=worker.hand_over_now, name="signals", daemon=True).start()
        super().handle_exit(sig, frame)


def print_or_log(command: BaseCommand, text: str) -> None:
    if settings.CONFIG.log_format == "json":
        log.info("%s", text)
    else:
        command.stdout.write(text)


def run_server(application: Any = "cronium_admin.web.asgi:application") -> None:
    """Blocks until SIGINT or SIGTERM. Raises CommandError if the address cannot be used."""
    host, port = settings.CONFIG.host, settings.CONFIG.port
    preflight.refuse_unusable_address(host, port)
    collect_static_files()
    server = _Server(
        uvicorn.Config(
            application,
            host=host,
            port=port,
            lifespan="on",
            loop="asyncio",  # the same on every machine; the default is uvloop if that is installed
            log_config=None,  # see LOGGING in the settings
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            timeout_keep_alive=IDLE_SECONDS,
            http=HttpProtocol,
            ws=WebSocketProtocol,
            proxy_headers=bool(settings.CONFIG.trusted_proxies),
            forwarded_allow_ips=list(settings.CONFIG.trusted_proxies),
            ws_max_size=64 * 1024,
            ws_per_message_deflate=False,
            server_header=False,
        )
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again after it has stopped
        server.run()


def _stop_worker(worker: Worker) -> None:
    hand_over = received_signals[:1] == [signal.SIGTERM]
    schedule_forced_exit(compute_shutdown_seconds(hand_over=hand_over) + DRAIN_SECONDS)
    worker.stop(hand_over=hand_over)


class Command(BaseCommand):
    help = "Web and executor in one process: SQLite, in-memory channel layer and broker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host-name", type=parse_host_name, default=EMBEDDED, help="the name of the executor's host, shown on runs"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        preflight.refuse_unusable_database()
        worker, keeper = Worker(options["host_name"]), LogMaintenance(apply_rules)
        ticker, judge = ScheduleTicker(), ExpectationJudge()
        lifespan.on_start += [worker.start, keeper.start, ticker.start, judge.start]
        lifespan.on_stop += [ticker.stop, judge.stop, lambda: _stop_worker(worker), keeper.stop]
        address = f"http://{settings.CONFIG.host}:{settings.CONFIG.port}"
        print_or_log(self, f"Cronium is at {address} (Ctrl-C stops its runs and the server)")
        run_server()
