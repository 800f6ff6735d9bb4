"""A process's one runner and the Celery consumer that wakes it: inside `serve`, or alone in `worker`."""

import logging
import threading

from celery.worker import WorkController
from celery.worker import state as celery_state

from cronium_admin.celery import app
from cronium_admin.hosts.runner import Runner
from executor import log_context

log = logging.getLogger("cronium.worker")
_current: "Worker | None" = None


class Worker:
    """Runner and consumer of one host, started and stopped together. One a process."""

    def __init__(self, host: str, queues: tuple[str, ...] = ("default",)) -> None:
        global _current
        log_context.name_host(host)
        self.runner = Runner(host, queues=queues)
        # A queue of the host's own carries what only it can do: cancel a run that it holds.
        app.amqp.queues.select([])
        self._consumer: WorkController = app.WorkController(
            hostname=f"cronium@{host}",
            queues=[*queues, f"host.{host}"],
            pool="threads",
            concurrency=2,
            loglevel="WARNING",
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        self._thread = threading.Thread(target=self._consume, name="celery", daemon=True)
        _current = self

    def start(self) -> None:
        self.runner.start()
        self._thread.start()

    def _consume(self) -> None:
        try:
            self._consumer.start()
        except Exception:
            log.exception("the Celery consumer ended; waiting runs are found by the sweep")

    def stop(self, *, hand_over: bool = False) -> bool:
        """Stop taking work, stop what runs or hand it over; False when something was still there at the end."""
        celery_state.should_stop = 0
        done = self.runner.hand_over() if hand_over else self.runner.close()
        self._thread.join(1)
        celery_state.should_stop = None
        return done


def current() -> Worker | None:
    """This process's own worker, if it has one."""
    return _current


def look(run_id: str) -> None:
    """Pass on to this process's runner, if it has one."""
    if _current:
        _current.runner.look(run_id)
