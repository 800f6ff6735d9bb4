"""`manage.py worker`: one host's executor alone."""

import queue
import signal
import socket
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
        signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda given, _: signals.put(given))
        worker.start()
        self.stdout.write(f"Worker {options['host']} takes runs (Ctrl-C stops them; SIGTERM hands them over)")
        worker.stop(hand_over=signals.get() == signal.SIGTERM)
