"""Runs database work of the executor's many threads in a few threads, so that no connection lives as long as a
container."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError

from cronium_admin.core.database.outage import is_outage, outage_log
from cronium_admin.core.database.threads import close_connections, database_work
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
        return self._pool.submit(lambda: context.run(self._call_with_retry, function, *args, **kwargs)).result()

    def _call_with_retry(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        pause, is_retry = 0.1, False
        while True:
            try:
                with database_work():
                    result = function(*args, **kwargs)
                if is_retry:
                    outage_log.record_recovery()
                return result
            except (DatabaseError, InterfaceError) as error:
                if not is_outage(error):
                    raise
                close_connections()
                outage_log.record_failure(error, "the worker")
                is_retry = True
                if self._closed.wait(pause):
                    raise
                pause = min(2 * pause, 5.0)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """End the retries and the threads. After `seconds` a thread that hangs in the database is abandoned."""
        self._closed.set()
        run_steps_until(time.monotonic() + seconds, self._pool.shutdown)
