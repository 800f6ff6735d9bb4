"""Which run, on which host, a line of the server's log is about. Set by who works for it, read by the formatter."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

run_id: ContextVar[str] = ContextVar("run_id", default="")
_host = socket.gethostname()


def name_host(name: str) -> None:
    """From now on, this process works for the host of this name."""
    global _host
    _host = name


def host() -> str:
    """The host this process works for; the machine's own name where there is none."""
    return _host


@contextmanager
def of_run(which: str) -> Iterator[None]:
    """What this thread logs inside is about the run `which`. A new thread begins outside."""
    token = run_id.set(which)
    try:
        yield
    finally:
        run_id.reset(token)
