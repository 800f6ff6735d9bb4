"""The real engine fulfils the contract of the fake engine."""

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from executor.docker.client import Engine
from executor.docker.errors import NotFound
from executor.sandbox.subnets import SubnetPool
from tests.fakes.contract import *  # noqa: F403 - the tests themselves
from tests.fakes.contract import World


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(os.environ.get("CRONIUM_DOCKER_HOST", ""))


@pytest.fixture
def world(engine: Engine, bash_image: str) -> Iterator[World]:
    made = World(engine, bash_image, "cronium/runtime-api:latest", SubnetPool(IPv4Network("10.215.0.0/24")))
    yield made
    made.clear()


def test_a_log_and_an_attachment_leave_nothing_for_the_garbage_collector(world: World) -> None:
    """Objects that the garbage collector closes write tracebacks into the server's log."""
    gc.collect()  # garbage of earlier tests
    failed: list[object] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda told: failed.append(told.exc_value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            name, _, _ = world.run("echo one")
            world.settled(name)
            for _ in range(3):
                world.engine.attach(name, stdin=True, output=False).close()
                world.engine.open_log(name, follow=False).close()
                with pytest.raises(NotFound):
                    world.engine.open_log("cronium-main-gone", follow=False)
            gc.collect()
    finally:
        sys.unraisablehook = before
    assert failed == []
