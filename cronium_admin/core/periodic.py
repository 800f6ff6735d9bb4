"""A thread that does one thing again and again until it is told to stop."""

import logging
import threading
from collections.abc import Callable

from cronium_admin.core.database.outage import log_failure
from cronium_admin.core.database.threads import database_work

log = logging.getLogger("cronium.rounds")


class PeriodicTask:
    """`once` does the thing and returns the seconds until the next time; the first one is `first` seconds away.

    `over` ends it, and may be shared with others. What `once` raises is logged and ends no thread: it is tried again
    after another `first` seconds, at least one.
    """

    def __init__(self, name: str, once: Callable[[], float], first: float, over: threading.Event | None = None) -> None:
        self.stop_event = over or threading.Event()
        self._action, self._first_pause = once, first
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Do no more; wait so long at most for what is being done."""
        self.stop_event.set()
        if self.thread.is_alive():
            self.thread.join(seconds)

    def _run(self) -> None:
        pause = self._first_pause
        while not self.stop_event.wait(pause):
            try:
                with database_work():
                    pause = self._action()
            except Exception as error:  # noqa: BLE001 - logged, and tried again
                if self.stop_event.is_set():  # what it uses is being closed
                    log.info("%s stopped before its last round was done: %s", self.thread.name, error)
                    return
                log_failure(log, error, self.thread.name)
                pause = max(self._first_pause, 1.0)
