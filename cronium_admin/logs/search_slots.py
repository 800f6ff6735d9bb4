"""How many searches this process computes at once: they hold the interpreter, so a few are as fast as many."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cronium_admin.core.errors import ApiError

MAX_RUNNING, MAX_WAITING, WAIT_SECONDS = 3, 6, 3.0
_admitted = threading.BoundedSemaphore(MAX_RUNNING + MAX_WAITING)
_running = threading.BoundedSemaphore(MAX_RUNNING)
BUSY = "Too many searches at once. Try again in some seconds."


@contextmanager
def hold_search_slot() -> Iterator[None]:
    """Hold a slot; Refused (429) when too many wait already, or none becomes free in time."""
    if not _admitted.acquire(blocking=False):
        raise ApiError(429, "busy", BUSY)
    try:
        if not _running.acquire(timeout=WAIT_SECONDS):
            raise ApiError(429, "busy", BUSY)
        try:
            yield
        finally:
            _running.release()
    finally:
        _admitted.release()
