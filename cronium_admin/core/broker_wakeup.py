"""Sends wake-up messages for runs to the workers, from one background thread, so that no caller waits for the broker.

Used by `core.wakeup`; imports Celery.
"""

import logging
import queue
import threading
import time

from kombu.exceptions import OperationalError

from cronium_admin.celery import app, make_broadcast_queue
from cronium_admin.core import metrics
from cronium_admin.core.wakeup import WAKEUP_TASK

log = logging.getLogger("cronium.runs")
MAX_WAITING = 1000
PAUSE_SECONDS = 5.0  # after a failure; the interval of the workers' sweep
# One retry, because a pooled connection may have been closed while it was idle. After that the sweep finds the run.
_RETRY_ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


class Publisher:
    """A bounded queue and the thread that sends its messages. After a failure all messages are dropped for
    PAUSE_SECONDS."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._waiting: queue.Queue[tuple[str, str]] = queue.Queue(max_waiting)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed_until = 0.0

    def enqueue(self, run_id: str, queue_name: str) -> None:
        """Thread-safe, never blocks. Drops the message if the queue is full or the broker does not answer."""
        try:
            if time.monotonic() < self._closed_until:
                raise queue.Full
            self._waiting.put_nowait((run_id, queue_name))
        except queue.Full:
            metrics.DROPPED_WAKEUPS.inc()
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a forked process has no threads of its parent
                self._thread = threading.Thread(target=self._run, name="wakeup", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            run_id, queue_name = self._waiting.get()
            try:
                _send_wakeup(run_id, queue_name)
            except Exception as error:  # noqa: BLE001 - after any error the workers' sweep finds the run
                self._closed_until = time.monotonic() + PAUSE_SECONDS
                dropped = 1 + self._drop_waiting()
                message = "the broker did not accept the wake-up for run %s (%s); the workers' sweep finds the run"
                reason = type(error).__name__ if not isinstance(error, OperationalError) else "no answer"
                log.warning(message, run_id, reason, extra={"run_id": run_id})
                metrics.DROPPED_WAKEUPS.inc(dropped)

    def _drop_waiting(self) -> int:
        dropped = 0
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                return dropped
            dropped += 1


def _send_wakeup(run_id: str, queue_name: str) -> None:
    to = make_broadcast_queue(queue_name)
    app.send_task(WAKEUP_TASK, args=[run_id], queue=to, declare=[to.exchange], retry_policy=_RETRY_ONCE)


_publisher = Publisher()


def publish_wakeup(run_id: str, queue_name: str) -> None:
    """Sends a message to all workers of the queue. Never blocks on the broker."""
    _publisher.enqueue(run_id, queue_name)
