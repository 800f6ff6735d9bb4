"""The process's one runner and what wakes it, in `manage.py serve` and `manage.py worker`."""

import logging
import queue
import threading
from typing import TYPE_CHECKING

from django.conf import settings

from cronium_admin.core.wakeup import SCRIPT_CHECKS, register_own_worker
from cronium_admin.workers.runner import Runner
from executor import log_context

if TYPE_CHECKING:
    from cronium_admin.workers.consumer import WakeupConsumer

log = logging.getLogger("cronium.worker")
_current: "Worker | None" = None


class Worker:
    """Runner of one host, and with Redis its Celery consumer; started and stopped together. One per process."""

    def __init__(self, host: str, queues: tuple[str, ...] = ("default",)) -> None:
        global _current
        log_context.set_host_name(host)
        self.runner = Runner(host, queues=queues)
        # The host's own queue carries cancellations of its runs.
        self._queues = frozenset((*queues, f"host.{host}", SCRIPT_CHECKS))
        self._consumer = self._make_consumer(host) if settings.CONFIG.redis_url else None
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run_wakeups, name="wakeup-own", daemon=True)
        _current = self

    def _make_consumer(self, host: str) -> "WakeupConsumer":
        from cronium_admin.workers.consumer import WakeupConsumer  # Celery is loaded only where there is a broker

        # Finds runs whose message was sent before the consumer was ready, without waiting for the sweep.
        return WakeupConsumer(host, self._queues, lambda: self.runner.on_wakeup(""))

    def start(self) -> None:
        self.runner.start()
        self._thread.start()
        register_own_worker(self._receive_own_wakeup)
        self.runner.on_wakeup("")  # finds runs that this process launched before it was registered
        if self._consumer:
            self._consumer.start()

    def _receive_own_wakeup(self, run_id: str, queue_name: str) -> None:
        # In the thread of a request. A launch only sets an event; a cancellation reads the database, in another thread.
        if queue_name not in self._queues:
            return
        if run_id == SCRIPT_CHECKS or run_id in self.runner.context.supervisor.list_active():
            self._waiting.put(run_id)
        else:
            self.runner.on_wakeup("")

    def _run_wakeups(self) -> None:
        while (run_id := self._waiting.get()) is not None:
            try:
                self.runner.on_wakeup(run_id)
            except Exception:
                log.exception("the wake-up for run %s failed; the heartbeat finds cancelled runs", run_id)

    def stop(self, *, hand_over: bool = False) -> bool:
        """Claim no more runs; stop the active runs or hand them over. False if some were still active at the end.

        Returns at most a second after the runner's `close` or `hand_over`.
        """
        if self._consumer:
            self._consumer.request_stop()
        is_done = self.runner.hand_over() if hand_over else self.runner.close()
        self._waiting.put(None)
        if self._consumer:
            self._consumer.join()
        return is_done

    def hand_over_now(self) -> None:
        """For a second signal during `stop`: hand over the runs that have not ended yet."""
        self.runner.hand_over_now()


def get_current_worker() -> Worker | None:
    return _current


def on_wakeup(run_id: str, *, is_for_all: bool) -> None:
    if _current:
        _current.runner.on_wakeup(run_id, is_for_all=is_for_all)
