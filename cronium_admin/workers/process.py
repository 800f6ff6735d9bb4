"""The process's one runner and the Celery consumer that wakes it, in `manage.py serve` and `manage.py worker`."""

import logging
import threading
from typing import Any

from celery.signals import worker_ready
from celery.worker import WorkController
from celery.worker import state as celery_state

from cronium_admin.celery import app, make_broadcast_queue
from cronium_admin.workers.runner import Runner
from executor import log_context

log = logging.getLogger("cronium.worker")
_current: "Worker | None" = None


class Worker:
    """Runner and Celery consumer of one host, started and stopped together. One per process."""

    def __init__(self, host: str, queues: tuple[str, ...] = ("default",)) -> None:
        global _current
        log_context.set_host_name(host)
        self.runner = Runner(host, queues=queues)
        # The host's own queue carries cancellations of its runs.
        consumed = [make_broadcast_queue(name) for name in (*queues, f"host.{host}")]
        for queue in consumed:
            app.amqp.queues.add(queue)
        worker_ready.connect(self._on_consumer_ready)
        self._consumer: WorkController = app.WorkController(
            hostname=f"cronium@{host}",
            queues=[queue.name for queue in consumed],
            pool="threads",
            concurrency=2,
            loglevel="WARNING",
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        self._thread = threading.Thread(target=self._run_consumer, name="celery", daemon=True)
        _current = self

    def start(self) -> None:
        self.runner.start()
        self._thread.start()

    def _on_consumer_ready(self, **_: Any) -> None:
        # Finds runs whose message was sent before the consumer was ready, without waiting for the sweep.
        self.runner.on_wakeup("")

    def _run_consumer(self) -> None:
        try:
            self._consumer.start()
        except Exception:
            log.exception("the Celery consumer ended; the sweep finds waiting runs")

    def stop(self, *, hand_over: bool = False) -> bool:
        """Claim no more runs; stop the active runs or hand them over. False if some were still active at the end.

        Returns at most REST_SECONDS after the runner's `close` or `hand_over`.
        """
        celery_state.should_stop = 0
        is_done = self.runner.hand_over() if hand_over else self.runner.close()
        if self._thread.is_alive():
            self._thread.join(1)
        celery_state.should_stop = None
        return is_done

    def hand_over_now(self) -> None:
        """For a second signal during `stop`: hand over the runs that have not ended yet."""
        self.runner.hand_over_now()


def get_current_worker() -> Worker | None:
    return _current


def on_wakeup(run_id: str) -> None:
    if _current:
        _current.runner.on_wakeup(run_id)
