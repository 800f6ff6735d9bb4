"""Database connections of threads that serve no request: they are renewed before and after each unit of work."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")


def renew_connections() -> None:
    """Closes this thread's connections that must not be used again.

    A PostgreSQL connection returns to the pool, which checks it before its next use and so detects a restarted server.
    A SQLite connection stays open, because opening it costs more than most queries; after an error it is checked.
    """
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "sqlite":
            connection.close_at = None
        connection.close_if_unusable_or_obsolete()


def close_connections() -> None:
    """For a thread that ends, after errors, and where the next unit of work must open new connections."""
    connections.close_all()


@contextmanager
def database_work() -> Iterator[None]:
    """Around one unit of work in a long-lived thread."""
    renew_connections()
    try:
        yield
    finally:
        renew_connections()


class DatabaseExecutor(ThreadPoolExecutor):
    """A thread pool in which each call is one unit of database work."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        return super().submit(_run_with_connections, fn, *args, **kwargs)


def _run_with_connections(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with database_work():
        return fn(*args, **kwargs)
