"""Which run, on which host, a line of the server's log is about. Set by who works for it, read by the formatter."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

run_id: ContextVar[str] = ContextVar("run_id", default="")
_host = socket.gethostname()


def set_host_name(name: str) -> None:
    """From now on, this process works for the host of this name."""
    global _host
    _host = name


def get_host_name() -> str:
    """The host this process works for; the machine's own name where there is none."""
    return _host


@contextmanager
def bind_run(which: str) -> Iterator[None]:
    """What this thread logs inside is about the run `which`. A new thread begins outside."""
    token = run_id.set(which)
    try:
        yield
    finally:
        run_id.reset(token)


def make_thread(which: str, name: str, target: Callable[[], object]) -> threading.Thread:
    """A daemon thread that works for the run `which`, not started yet."""

    def work() -> None:
        with bind_run(which):
            target()

    return threading.Thread(target=work, name=f"{name}-{which[:8]}", daemon=True)
