"""The real engine keeps the contract that the fake one keeps."""

import os
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from executor.engine import Engine
from executor.subnets import SubnetPool
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
