"""The run and host that a line of the server's log belongs to. Set by the worker's threads, read by the formatter."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

run_id: ContextVar[str] = ContextVar("run_id", default="")
_host = socket.gethostname()


def set_host_name(name: str) -> None:
    global _host
    _host = name


def get_host_name() -> str:
    return _host


@contextmanager
def bind_run(run: str) -> Iterator[None]:
    """Attribute this thread's log lines to a run. New threads do not inherit it: see `make_thread`."""
    token = run_id.set(run)
    try:
        yield
    finally:
        run_id.reset(token)


def make_thread(run: str, name: str, target: Callable[[], object]) -> threading.Thread:
    """A daemon thread whose log lines belong to a run. Not started."""

    def work() -> None:
        with bind_run(run):
            target()

    return threading.Thread(target=work, name=f"{name}-{run[:8]}", daemon=True)
