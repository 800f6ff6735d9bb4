"""The Celery consumer of a process: receives the wake-up messages of its queues. Used only with Redis."""

import logging
import threading
from collections.abc import Callable, Collection
from typing import Any

from celery.signals import worker_ready
from celery.worker import WorkController
from celery.worker import state as celery_state

from cronium_admin.celery import app, make_broadcast_queue

log = logging.getLogger("cronium.worker")
JOIN_SECONDS = 1.0


class WakeupConsumer:
    """A thread. `tasks` calls the process's worker for each message; `on_ready` is called once, when it can receive."""

    def __init__(self, host: str, queues: Collection[str], on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready
        consumed = [make_broadcast_queue(name) for name in queues]
        for queue in consumed:
            app.amqp.queues.add(queue)
        worker_ready.connect(self._on_consumer_ready)
        self._controller: WorkController = app.WorkController(
            hostname=f"cronium@{host}",
            queues=[queue.name for queue in consumed],
            pool="threads",
            concurrency=2,
            loglevel="WARNING",
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        self._thread = threading.Thread(target=self._run, name="celery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def request_stop(self) -> None:
        celery_state.should_stop = 0

    def join(self) -> None:
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)
        celery_state.should_stop = None

    def _on_consumer_ready(self, **_: Any) -> None:
        self._on_ready()

    def _run(self) -> None:
        try:
            self._controller.start()
        except Exception:
            log.exception("the Celery consumer ended; the sweep finds waiting runs")
