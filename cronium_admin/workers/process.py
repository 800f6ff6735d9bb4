"""A process's one runner and the Celery consumer that wakes it: inside `serve`, or alone in `worker`."""

import logging
import threading
from typing import Any

from celery.signals import worker_ready
from celery.worker import WorkController
from celery.worker import state as celery_state

from cronium_admin.celery import app, make_broadcast_queue
from cronium_admin.workers.dispatch import Runner
from executor import log_context

log = logging.getLogger("cronium.worker")
_current: "Worker | None" = None


class Worker:
    """Runner and consumer of one host, started and stopped together. One a process."""

    def __init__(self, host: str, queues: tuple[str, ...] = ("default",)) -> None:
        global _current
        log_context.set_host_name(host)
        self.runner = Runner(host, queues=queues)
        # A queue of the host's own carries what only it can do: cancel a run that it holds.
        heard = [make_broadcast_queue(name) for name in (*queues, f"host.{host}")]
        for one in heard:
            app.amqp.queues.add(one)
        worker_ready.connect(self._on_consumer_ready)
        self._consumer: WorkController = app.WorkController(
            hostname=f"cronium@{host}",
            queues=[one.name for one in heard],
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
        """What came while nobody listened is found now, and not with the sweep."""
        self.runner.on_wakeup("")

    def _run_consumer(self) -> None:
        try:
            self._consumer.start()
        except Exception:
            log.exception("the Celery consumer ended; waiting runs are found by the sweep")

    def stop(self, *, hand_over: bool = False) -> bool:
        """Stop taking work, stop what runs or hand it over; False when something was still there at the end.

        Returns REST_SECONDS after the runner at most: see there.
        """
        celery_state.should_stop = 0
        done = self.runner.hand_over() if hand_over else self.runner.close()
        if self._thread.is_alive():
            self._thread.join(1)
        celery_state.should_stop = None
        return done

    def hand_over_now(self) -> None:
        """Somebody asked once more while it stops: what has not ended yet is handed over."""
        self.runner.hand_over_now()


def get_current_worker() -> Worker | None:
    """This process's own worker, if it has one."""
    return _current


def on_wakeup(run_id: str) -> None:
    """Pass on to this process's runner, if it has one."""
    if _current:
        _current.runner.on_wakeup(run_id)
