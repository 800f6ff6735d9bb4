"""Throttles background work on stored logs: small steps with pauses, until the process stops."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cronium_admin.core.lease import LeaseLost

MIN_PAUSE_SECONDS = 0.02  # seconds at least
PAUSE_FACTOR = 2.0  # a pause is this many times as long as the step before it


class Stopped(Exception):
    """The process is stopping. Another process completes the unfinished work."""


class Throttle:
    """`stop_event` is set when the process stops. `keep` renews the lease of the work or raises LeaseLost."""

    def __init__(self, stop_event: threading.Event | None = None, keep: Callable[[], None] = lambda: None) -> None:
        self._over, self._keep = stop_event or threading.Event(), keep

    @contextmanager
    def run_step(self) -> Iterator[None]:
        self.raise_if_stopped()
        started_at = time.monotonic()
        yield
        self._over.wait(max(MIN_PAUSE_SECONDS, PAUSE_FACTOR * (time.monotonic() - started_at)))

    def raise_if_stopped(self) -> None:
        if self._over.is_set():
            raise Stopped
        try:
            self._keep()
        except LeaseLost as error:
            raise Stopped(str(error)) from error
