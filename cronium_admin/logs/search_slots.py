"""Limits the concurrent searches of this process: a search holds the interpreter lock, so more are not faster."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cronium_admin.core.errors import ApiError

MAX_RUNNING, MAX_WAITING, WAIT_SECONDS = 3, 6, 3.0
_admitted = threading.BoundedSemaphore(MAX_RUNNING + MAX_WAITING)
_running = threading.BoundedSemaphore(MAX_RUNNING)
BUSY = "Too many searches at once. Try again in a few seconds."


@contextmanager
def hold_search_slot() -> Iterator[None]:
    """Raises ApiError (429) if too many searches wait, or no slot becomes free within WAIT_SECONDS."""
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
