"""How many searches this process computes at once: they hold the interpreter, so a few are as fast as many."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cronium_admin.core.errors import Refused

AT_ONCE, WAITING, SECONDS = 3, 6, 3.0
_admitted = threading.BoundedSemaphore(AT_ONCE + WAITING)
_running = threading.BoundedSemaphore(AT_ONCE)
BUSY = "Too many searches at once. Try again in some seconds."


@contextmanager
def search_slot() -> Iterator[None]:
    """Hold a slot; Refused (429) when too many wait already, or none becomes free in time."""
    if not _admitted.acquire(blocking=False):
        raise Refused(429, "busy", BUSY)
    try:
        if not _running.acquire(timeout=SECONDS):
            raise Refused(429, "busy", BUSY)
        try:
            yield
        finally:
            _running.release()
    finally:
        _admitted.release()
