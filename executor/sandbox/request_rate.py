"""Bounds what scripts' large requests cost the worker: one at a time in the process, and a rate for each run."""

import threading
import time

LARGE_BYTES = 256 * 1024
BURST_BYTES, BYTES_A_SECOND = 16 * 1024 * 1024, 1024 * 1024

# A parsed value takes many times its text's memory, and to parse it holds the interpreter.
large_request_lock = threading.Lock()


class RequestThrottle:
    """One run's allowance: a burst, and then a rate. Used by one thread."""

    def __init__(self) -> None:
        self._left, self._at = float(BURST_BYTES), time.monotonic()

    def charge_request(self, size: int) -> float:
        """Enter a request of `size` bytes; how long it has to wait. Small ones never do."""
        if size <= LARGE_BYTES:
            return 0.0
        now = time.monotonic()
        self._left = min(BURST_BYTES, self._left + (now - self._at) * BYTES_A_SECOND) - size
        self._at = now
        return max(0.0, -self._left / BYTES_A_SECOND)
