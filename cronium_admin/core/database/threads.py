"""How threads other than a request's use the database: every unit of work begins and ends with renewed connections."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")


def renew_connections() -> None:
    """Drop this thread's connections that must not be used any longer.

    PostgreSQL's goes back to the pool, which checks it before the next use: a restarted server is noticed there.
    SQLite's stays open, since opening it costs more than most queries; after an error it is checked.
    """
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "sqlite":
            connection.close_at = None
        connection.close_if_unusable_or_obsolete()


def close_connections() -> None:
    """Close this thread's connections: it ends, they failed, or the next work has to open its own."""
    connections.close_all()


@contextmanager
def database_work() -> Iterator[None]:
    """Around one unit of work in a thread that lives on."""
    renew_connections()
    try:
        yield
    finally:
        renew_connections()


class DatabaseExecutor(ThreadPoolExecutor):
    """A thread pool whose every call is one unit of database work."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        return super().submit(_run_with_connections, fn, *args, **kwargs)


def _run_with_connections(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with database_work():
        return fn(*args, **kwargs)
