"""The fake engine fulfils the contract of the real engine."""

from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from executor.sandbox.subnets import SubnetPool
from tests.fakes.contract import *  # noqa: F403 - the tests themselves
from tests.fakes.contract import World
from tests.fakes.engine import FakeEngine


@pytest.fixture
def world() -> Iterator[World]:
    engine = FakeEngine()
    made = World(engine, "runner:bash", "sidecar:latest", SubnetPool(IPv4Network("10.215.0.0/24")))
    yield made
    made.clear()
    engine.close()
