"""`manage.py worker`: one host's executor alone."""

import signal
import socket
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from cronium_admin.hosts import preflight
from cronium_admin.hosts.worker import Worker


class Command(BaseCommand):
    help = "Claims waiting runs and runs them on this host's Docker Engine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=socket.gethostname(), help="this worker's name, one of its own each")
        parser.add_argument("--queues", default="default", help="comma-separated queues to serve")

    def handle(self, *args: Any, **options: Any) -> None:
        preflight.refuse_single_process_parts()
        preflight.refuse_old_tables()
        queues = tuple(name.strip() for name in options["queues"].split(",") if name.strip())
        worker = Worker(options["host"], queues)
        over = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: over.set())
        worker.start()
        self.stdout.write(f"Worker {options['host']} takes runs (Ctrl-C ends it)")
        over.wait()
        worker.stop()
