"""How work behind the readers' and writers' backs is done: a little at a time, with pauses, until told to stop."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

MIN_PAUSE_SECONDS = 0.02  # seconds at least
PAUSE_FACTOR = 2.0  # a pause is this many times as long as what went before: most of the time belongs to others


class Stopped(Exception):
    """The process ends. What was begun is gone on with by another."""


class Throttle:
    """`over` is set when the process ends."""

    def __init__(self, over: threading.Event | None = None) -> None:
        self._over = over or threading.Event()

    @contextmanager
    def run_step(self) -> Iterator[None]:
        """One transaction's work, and the pause after it: SQLite has one writer, and it must not always be us."""
        self.raise_if_stopped()
        began = time.monotonic()
        yield
        self._over.wait(max(MIN_PAUSE_SECONDS, PAUSE_FACTOR * (time.monotonic() - began)))

    def raise_if_stopped(self) -> None:
        """Raise Stopped if it is time to stop."""
        if self._over.is_set():
            raise Stopped
