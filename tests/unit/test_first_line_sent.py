"""The time at which a run's first line was sent to a client: one write for each watched run, after the start."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from cronium_admin.core import metrics
from cronium_admin.logs.live import first_line, tail
from cronium_admin.logs.store import commit_writes
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run
from executor.spec import Batch, Cursor, Segment
from tests.fresh_metrics import reset_metrics
from tests.unit.test_consumer import World, connect, world  # noqa: F401 - fixtures

pytestmark = [pytest.mark.django_db(transaction=True, serialized_rollback=True), pytest.mark.asyncio]


@pytest.fixture(autouse=True)
def stores(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The calls that would write the row."""
    monkeypatch.setattr(first_line, "WRITE_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.05)
    reset_metrics()
    calls: list[int] = []
    record = state_machine.record_first_sent

    def count(run_id: Any, milliseconds: int) -> bool:
        calls.append(milliseconds)
        return record(run_id, milliseconds)

    monkeypatch.setattr(state_machine, "record_first_sent", count)
    return calls


def _count_observed() -> float:
    samples = [sample for family in metrics.FIRST_LINES_SENT.collect() for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name.endswith("_count"))


async def _read_first_sent(world: World) -> int | None:  # noqa: F811
    return await sync_to_async(Run.objects.values_list("first_sent_ms", flat=True).get)(pk=world.run.pk)


async def _await_first_sent(world: World) -> int:  # noqa: F811
    async with asyncio.timeout(20):
        while (sent := await _read_first_sent(world)) is None:
            await asyncio.sleep(0.02)
    return sent


async def _write_line(world: World, seconds_ago: int) -> None:  # noqa: F811
    line = Segment(1, 1, time.time_ns() - seconds_ago * 1_000_000_000, b"one\n")
    write = world.log.prepare_write(Batch((line,), Cursor(1, 4), Cursor()))
    await sync_to_async(lambda: commit_writes([write]))()


async def test_viewers_that_wait_cause_one_write(
    connect: Callable[..., Any], world: World, stores: list[int]  # noqa: F811
) -> None:  # fmt: skip
    viewers = [await connect(world.run.pk, world.token) for _ in range(3)]
    for viewer in viewers:
        await viewer.until(lambda seen: seen.of("status"))
    await world.begin()
    for _ in range(3):
        await world.write((1, b"one\n"))
        for viewer in viewers:
            await viewer.until(lambda seen: seen.lines)
    sent = await _await_first_sent(world)
    await asyncio.sleep(0.1)  # for a second write, if there is one
    assert stores == [sent]
    assert 0 < sent < 60_000
    assert _count_observed() == 1
    await world.finish()


async def test_a_viewer_that_comes_later_is_no_first_line(
    connect: Callable[..., Any], world: World, stores: list[int]  # noqa: F811
) -> None:  # fmt: skip
    await world.begin()
    await _write_line(world, seconds_ago=5)
    viewer = await connect(world.run.pk, world.token)
    await viewer.until(lambda seen: seen.lines)
    await asyncio.sleep(0.1)
    assert await _read_first_sent(world) is None
    assert stores == []
    await world.finish()


async def test_a_viewer_that_continues_is_no_first_line(
    connect: Callable[..., Any], world: World, stores: list[int]  # noqa: F811
) -> None:  # fmt: skip
    await world.begin()
    await world.write((1, b"one\n"))
    viewer = await connect(world.run.pk, world.token, after="1")
    await viewer.until(lambda seen: seen.of("status"))
    await world.write((1, b"two\n"))
    await viewer.until(lambda seen: seen.lines)
    await asyncio.sleep(0.1)
    assert await _read_first_sent(world) is None
    await world.finish()


async def test_a_short_run_counts_although_it_ended_before_the_viewer_read_it(
    connect: Callable[..., Any], world: World  # noqa: F811
) -> None:  # fmt: skip
    await world.begin()
    await _write_line(world, seconds_ago=0)
    await world.finish()
    viewer = await connect(world.run.pk, world.token)
    assert await viewer.until_closed() == 1000
    assert await _await_first_sent(world) >= 0


async def test_a_database_that_is_away_costs_the_viewer_nothing(
    connect: Callable[..., Any], world: World, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    def fail(run_id: Any, milliseconds: int) -> bool:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(state_machine, "record_first_sent", fail)
    viewer = await connect(world.run.pk, world.token)
    await viewer.until(lambda seen: seen.of("status"))
    await world.begin()
    await world.write((1, b"one\n"))
    await viewer.until(lambda seen: seen.lines)
    await asyncio.sleep(0.1)
    assert await _read_first_sent(world) is None
    await world.write((1, b"two\n"))
    await viewer.until(lambda seen: len(seen.lines) == 2)
    await world.finish()
    assert await viewer.until_closed() == 1000
