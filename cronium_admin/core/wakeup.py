"""Wakes the workers that may act on a run: this process's own worker directly, all others by a message of the broker.

A wake-up is only a hint: the run's row is committed before, and the workers' sweep finds runs without one.
"""

from collections.abc import Callable

from django.conf import settings

WAKEUP_TASK = "cronium.look"  # the workers' Celery task
# The queue of requests to check a script, and the id in its messages. All hosts serve it; no queue of jobs has a dot.
SCRIPT_CHECKS = "checks.scripts"
_own_worker: Callable[[str, str], None] | None = None


def register_own_worker(on_wakeup: Callable[[str, str], None]) -> None:
    """`on_wakeup` gets the run's id and the queue, in the thread of the caller of `wake_workers`. It must not block."""
    global _own_worker
    _own_worker = on_wakeup


def wake_workers(run_id: str, queue_name: str) -> None:
    """Never blocks. Without Redis there is one process, and no message is sent."""
    if _own_worker is not None:
        _own_worker(run_id, queue_name)
    if settings.CONFIG.redis_url:
        from cronium_admin.core import broker_wakeup  # Celery is loaded only where there is a broker

        broker_wakeup.publish_wakeup(run_id, queue_name)
