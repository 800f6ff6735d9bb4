"""Limits the cost of scripts' large requests: one at a time in the process, and a rate limit for each run."""

import threading
import time

LARGE_BYTES = 256 * 1024
BURST_BYTES, BYTES_A_SECOND = 16 * 1024 * 1024, 1024 * 1024

# A parsed value takes several times the memory of its text, and parsing holds the GIL.
large_request_lock = threading.Lock()


class RequestThrottle:
    """A token bucket for one run's large requests. Not thread-safe."""

    def __init__(self) -> None:
        self._left, self._at = float(BURST_BYTES), time.monotonic()

    def charge_request(self, size: int) -> float:
        """Count a request of `size` bytes and return the seconds it must wait; 0 up to LARGE_BYTES."""
        if size <= LARGE_BYTES:
            return 0.0
        now = time.monotonic()
        self._left = min(BURST_BYTES, self._left + (now - self._at) * BYTES_A_SECOND) - size
        self._at = now
        return max(0.0, -self._left / BYTES_A_SECOND)
