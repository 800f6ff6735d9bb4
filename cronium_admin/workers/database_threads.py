"""Runs database work of the executor's many threads in a few threads, so that no connection lives as long as a
container."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from cronium_admin.core.database.outage import retry_during_outage
from cronium_admin.workers.shutdown import run_steps_until

CLOSE_SECONDS = 10.0
P = ParamSpec("P")
T = TypeVar("T")


class DatabaseThreads:
    """`count` threads, each with its own database connection."""

    def __init__(self, count: int = 4) -> None:
        self._pool = ThreadPoolExecutor(count, "database")
        self._closed = threading.Event()

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in one of the threads; returns its result or raises its error.

        Retries without limit during a database outage: `function` must be safe to repeat, as every conditional UPDATE
        is."""
        # In the caller's context, so that log lines name the caller's run.
        context = copy_context()
        work = partial(function, *args, **kwargs)
        return self._pool.submit(context.run, retry_during_outage, work, self._closed, "the worker").result()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """End the retries and the threads. After `seconds` a thread that hangs in the database is abandoned."""
        self._closed.set()
        run_steps_until(time.monotonic() + seconds, self._pool.shutdown)
