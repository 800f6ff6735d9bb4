"""Simulated hosts for `bench.scale`: real workers with a fake engine, several in one process.

python -m bench.scale_hosts FIRST COUNT   runs the hosts FIRST..FIRST+COUNT-1 until standard input ends. Each line on
                                          standard input prints one JSON object: what this process has done so far.

Simulated: the Docker Engine; a script writes one line and ends. Real: the rest of a worker, with its own Redis
connection. Not run: the checks of doctor and the isolation test, which need an engine.
"""

import json
import os
import re
import sys
import threading
import time
from collections import Counter
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")
django.setup()

import psutil  # noqa: E402
from kombu import Connection, Consumer, Message  # noqa: E402

from bench.queries import count_queries  # noqa: E402
from cronium_admin.celery import app, is_for_one_host, make_broadcast_queue  # noqa: E402
from cronium_admin.workers.health.scheduler import HealthScheduler  # noqa: E402
from cronium_admin.workers.run_spec import SIDECAR_IMAGE  # noqa: E402
from cronium_admin.workers.runner import Runner  # noqa: E402
from tests.fakes.engine import FakeContainer, FakeEngine  # noqa: E402

LINE = b"Hello from Cronium\n"


class InstantEngine(FakeEngine):
    """Scripts are not executed: each writes one line as soon as its payload is complete, and ends with 0."""

    def __init__(self, image: str) -> None:
        super().__init__((image, SIDECAR_IMAGE))

    def _run_main(self, container: FakeContainer) -> None:
        while container.inputs[0].recv(65536):
            pass
        self._emit(container, 1, LINE)
        self._end(container, 0)


class SimulatedHost:
    """A worker and the Redis connection that its Celery consumer would have."""

    def __init__(self, name: str, image: str) -> None:
        self._name = name
        self._runner = Runner(name, InstantEngine(image))
        self._runner.tasks = [task for task in self._runner.tasks if not isinstance(task, HealthScheduler)]

    def start(self) -> None:
        self._runner.start()
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        queues = [make_broadcast_queue(name) for name in ("default", f"host.{self._name}")]
        with Connection(app.conf.broker_url) as connection, Consumer(connection, queues, callbacks=[self._on_message]):
            while True:
                connection.drain_events()

    def _on_message(self, body: Any, message: Message) -> None:
        message.ack()
        exchange = str((message.delivery_info or {}).get("exchange", ""))
        self._runner.on_wakeup(str(body[0][0]), is_for_all=not is_for_one_host(exchange))


def _report(queries: Counter[str]) -> dict[str, Any]:
    times = psutil.Process().cpu_times()
    threads = Counter(re.sub(r"[-_ ]?[0-9a-f]*$", "", thread.name) for thread in threading.enumerate())
    return {"queries": dict(queries), "cpu": times.user + times.system, "threads": dict(threads)}


def main(first: int, count: int, image: str) -> None:
    queries = count_queries()
    hosts = [SimulatedHost(f"host-{number:04}", image) for number in range(first, first + count)]
    for host in hosts:
        host.start()
    time.sleep(1)
    print(json.dumps(_report(queries)), flush=True)
    for _ in sys.stdin:
        print(json.dumps(_report(queries)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
