"""A Redis that accepts connections and never answers, or accepts none; shared by tests."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cronium_admin.core.redis_url import RedisAddress, parse_redis_url


def _fill(port: int) -> Iterator[socket.socket]:
    """Opens connections until the port accepts no more; the last one is pending."""
    for _ in range(20):
        made = socket.socket()
        made.settimeout(0.5)
        yield made
        try:
            made.connect(("127.0.0.1", port))
        except TimeoutError:
            return
    raise AssertionError("the port still takes connections")


@pytest.fixture(params=["silent", "full"])
def address(request: pytest.FixtureRequest) -> Iterator[RedisAddress]:
    """A port that accepts connections and never answers, or a port that leaves them pending."""
    with ExitStack() as stack:
        port = stack.enter_context(socket.socket())
        port.bind(("127.0.0.1", 0))
        port.listen(0 if request.param == "full" else 128)
        number = port.getsockname()[1]
        for waiting in _fill(number) if request.param == "full" else ():
            stack.enter_context(waiting)
        yield parse_redis_url(f"redis://127.0.0.1:{number}/0")
