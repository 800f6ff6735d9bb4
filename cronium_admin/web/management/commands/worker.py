"""`manage.py worker`: the executor of one host, without the dashboard."""

import queue
import signal
import socket
import threading
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand

from cronium_admin.expectations.judge import ExpectationJudge
from cronium_admin.jobs.validation import DEFAULT_QUEUE, validate_queue
from cronium_admin.schedules.ticker import ScheduleTicker
from cronium_admin.web.edge.connections import raise_descriptor_limit
from cronium_admin.web.management.commands.serve import print_or_log
from cronium_admin.workers import preflight
from cronium_admin.workers.hosts.names import parse_host_name
from cronium_admin.workers.process import Worker
from cronium_admin.workers.shutdown import compute_shutdown_seconds, schedule_forced_exit


def _parse_queues(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    try:
        for name in names:
            validate_queue(name)
    except ValidationError as error:
        raise ArgumentTypeError(" ".join(error.messages)) from error
    if not names:
        raise ArgumentTypeError("Name at least one queue, such as default.")
    return names


def _wait_and_stop(
    worker: Worker, signals: "queue.SimpleQueue[int]", stop_ticker: Callable[[], object] = lambda: None
) -> None:
    # SIGTERM hands the runs over, SIGINT stops them. A second signal skips the waits.
    hand_over = signals.get() == signal.SIGTERM
    schedule_forced_exit(compute_shutdown_seconds(hand_over=hand_over))

    def hurry() -> None:
        signals.get()
        worker.hand_over_now()

    threading.Thread(target=hurry, name="signals", daemon=True).start()
    stop_ticker()
    worker.stop(hand_over=hand_over)


class Command(BaseCommand):
    help = "Claims waiting runs and runs them on this host's Docker Engine."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host",
            type=parse_host_name,
            default=socket.gethostname(),
            help="this worker's host name; unique per worker",
        )
        parser.add_argument(
            "--queues", type=_parse_queues, default=(DEFAULT_QUEUE,), help="comma-separated queues to serve"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        preflight.refuse_single_process_parts()
        preflight.refuse_unusable_database()
        raise_descriptor_limit()
        worker = Worker(options["host"], options["queues"])
        signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda signal_number, _: signals.put(signal_number))
        worker.start()
        ticker, judge = ScheduleTicker(), ExpectationJudge()
        ticker.start()
        judge.start()
        print_or_log(self, f"Worker {options['host']} takes runs (Ctrl-C stops them; SIGTERM hands them over)")

        def stop_threads() -> None:
            ticker.stop()
            judge.stop()

        _wait_and_stop(worker, signals, stop_threads)
