"""A thread that calls a function periodically until it is stopped."""

import logging
import threading
from collections.abc import Callable

from cronium_admin.core.database.outage import log_failure
from cronium_admin.core.database.threads import database_work

log = logging.getLogger("cronium.rounds")


class PeriodicTask:
    """Calls `action`, which returns the seconds until its next call; the first call comes after `first_pause` seconds.

    `stop_event` ends the thread, and may be shared. An exception of `action` is logged and does not end the thread: the
    next call comes after `first_pause` seconds, at least one second.
    """

    def __init__(
        self, name: str, action: Callable[[], float], first_pause: float, stop_event: threading.Event | None = None
    ) -> None:
        self.stop_event = stop_event or threading.Event()
        self._action, self._first_pause = action, first_pause
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Stops the thread; waits at most `seconds` for a call that is running."""
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
                if self.stop_event.is_set():  # its connections are being closed
                    log.info("%s stopped during its last call: %s", self.thread.name, error)
                    return
                log_failure(log, error, self.thread.name)
                pause = max(self._first_pause, 1.0)
