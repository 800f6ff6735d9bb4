"""How long ago the server accepted the request that this code answers."""

import time
from contextvars import ContextVar

_accepted_at: ContextVar[float | None] = ContextVar("accepted_at", default=None)


def start_request_clock() -> None:
    """Call in the task of the request, before anything else."""
    _accepted_at.set(time.monotonic())


def read_request_age() -> float | None:
    """In seconds; None outside a request."""
    accepted_at = _accepted_at.get()
    return None if accepted_at is None else time.monotonic() - accepted_at
