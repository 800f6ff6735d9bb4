"""With a Redis that does not answer: readiness and doctor report it, live logs continue, and consumers reconnect."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from channels.layers import channel_layers
from kombu.exceptions import OperationalError

from cronium_admin.celery import app
from cronium_admin.core.redis_url import RedisAddress
from cronium_admin.logs.live import tail
from cronium_admin.ops import readiness
from cronium_admin.workers.health.checks import services
from cronium_admin.workers.health.probe import HealthProbe
from tests.unit.silent_redis import address
from tests.unit.test_consumer import World, connect, world

__all__ = ["address", "connect", "world"]
committed = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def silent(address: RedisAddress, settings: Any) -> RedisAddress:
    """All settings name it. Reads of the channel layer time out after a second here."""
    settings.CONFIG = settings.CONFIG.model_copy(update={"redis_url": address.url})
    host = {"address": address.url, **address.build_options(1.0)}
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [host]}}
    }
    channel_layers.backends.clear()
    return address


@pytest.mark.django_db
def test_readiness_says_so_within_its_bound(silent: RedisAddress) -> None:
    checks, began = readiness.Readiness(), time.monotonic()
    parts = checks.check_parts()
    assert not parts["broker"]
    assert not parts["channel_layer"]
    assert parts["disk"]
    assert time.monotonic() - began < readiness.PART_SECONDS + 8  # the machine may be busy
    checks._pool.shutdown()  # nothing of it hangs


@pytest.mark.django_db
def test_the_round_trip_is_bounded_as_a_whole(silent: RedisAddress, settings: Any) -> None:
    """Including the send, for which the layer itself waits longer."""
    settings.CHANNEL_LAYERS["default"]["CONFIG"]["hosts"][0] |= silent.build_options(600.0)
    channel_layers.backends.clear()
    with pytest.raises(TimeoutError):
        asyncio.run(services.send_through_layer(0.2))


def test_doctor_has_a_failed_row(silent: RedisAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "ANSWER_SECONDS", 0.3)
    rows = list(services.check_broker(HealthProbe.__new__(HealthProbe)))
    assert [(row.name, row.state) for row in rows] == [("broker", "failed")]
    assert "No answer" in rows[0].found
    assert "CRONIUM_REDIS_URL" in rows[0].mend


@committed
@pytest.mark.asyncio
async def test_a_live_log_goes_on(silent: RedisAddress, connect: Callable[..., Any], world: World) -> None:
    """Its viewers poll; a failing layer closes no WebSocket."""
    await world.begin()
    await world.write((1, b"one\n"))
    viewer = await connect(world.run.pk, world.token)
    await viewer.until(lambda viewer: viewer.lines)
    await asyncio.sleep(1.5)  # longer than the layer's reads wait
    await world.write((1, b"two\n"))
    await viewer.until(lambda viewer: len(viewer.lines) == 2)
    await world.finish()
    assert await viewer.until_closed() == 1000


async def test_a_listener_ends_though_the_layer_takes_no_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    class Layer:
        left = False

        async def new_channel(self) -> str:
            return "one"

        async def group_add(self, *_: str) -> None:
            pass

        async def receive(self, _: str) -> None:
            await asyncio.Event().wait()

        async def group_discard(self, *_: str) -> None:
            self.left = True
            await asyncio.Event().wait()

    layer = Layer()
    monkeypatch.setattr(tail, "get_channel_layer", lambda: layer)
    monkeypatch.setattr(tail, "DISCARD_SECONDS", 0.05)
    listener = asyncio.create_task(tail.Tail(uuid.uuid4()).relay_notifications())
    await asyncio.sleep(0.05)
    listener.cancel()
    done, _ = await asyncio.wait([listener], timeout=30)
    assert done
    assert layer.left


def test_a_consumer_tries_to_connect_for_ever() -> None:
    """Celery's default gives up after a hundred attempts."""

    class Enough(Exception):
        pass

    tries = 0

    def count(*_: Any) -> None:
        nonlocal tries
        tries += 1
        if tries == 150:
            raise Enough

    with app.connection_for_read("redis://127.0.0.1:1/0") as connection:
        most = app.conf.broker_connection_max_retries
        with pytest.raises(Enough):
            connection.ensure_connection(count, most, interval_start=0, interval_step=0)
        with pytest.raises(OperationalError):
            connection.ensure_connection(lambda *_: None, 2, interval_start=0, interval_step=0)
