"""Why the executor stops a run."""

import threading

from executor.run.outcome import LIMIT, StopRequest


class StopState:
    """The stop requests of one run. Thread-safe. The first reason counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._request: StopRequest | None = None
        self._has_exited = False
        self._has_passed_limit = False

    @property
    def request(self) -> StopRequest | None:
        return self._request

    def add_request(self, reason: str) -> bool:
        """False if main has exited by itself before, so that the request is ignored."""
        with self._lock:
            if self._has_exited and reason != LIMIT:
                return False
            self._has_passed_limit = self._has_passed_limit or reason == LIMIT
            if self._request is None:
                self._request = StopRequest(reason)
            return True

    def note_own_exit(self) -> None:
        # Stop reasons that came after the exit are ignored, except the log's limit.
        with self._lock:
            self._has_exited = True
            self._request = StopRequest(LIMIT) if self._has_passed_limit else None
