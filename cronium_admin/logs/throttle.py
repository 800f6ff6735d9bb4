"""How work behind the readers' and writers' backs is done: a little at a time, with pauses, until told to stop."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PAUSE = 0.02  # seconds at least
SHARE = 2.0  # a pause is this many times as long as what went before: most of the time belongs to others


class Stopped(Exception):
    """The process ends. What was begun is gone on with by another."""


class Pace:
    """`over` is set when the process ends."""

    def __init__(self, over: threading.Event | None = None) -> None:
        self._over = over or threading.Event()

    @contextmanager
    def step(self) -> Iterator[None]:
        """One transaction's work, and the pause after it: SQLite has one writer, and it must not always be us."""
        self.check()
        began = time.monotonic()
        yield
        self._over.wait(max(PAUSE, SHARE * (time.monotonic() - began)))

    def check(self) -> None:
        """Raise Stopped if it is time to stop."""
        if self._over.is_set():
            raise Stopped
