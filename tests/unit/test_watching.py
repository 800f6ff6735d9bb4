"""Long-lived viewers of a log: lost permissions, missing lines, and a slow archive."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts import session_guard, sessions
from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.logs import read
from cronium_admin.logs.codec import Line
from cronium_admin.logs.live import http_stream, tail
from cronium_admin.logs.models import LogChunk
from cronium_admin.logs.store import RunLog
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.unit.test_consumer import Viewer, World, connect, whole_run, world  # noqa: F401 - fixtures
from tests.users import get_admin

pytestmark = [pytest.mark.django_db(transaction=True, serialized_rollback=True), pytest.mark.asyncio]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_guard, "RECHECK_SECONDS", 0.05)
    monkeypatch.setattr(session_guard, "SHARED_SECONDS", 0.01)
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.05)


def _revoke(world: World) -> None:  # noqa: F811
    assert ApiToken.objects.update(revoked_at=timezone.now())


def _expire(world: World) -> None:  # noqa: F811
    assert ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def _switch_off(world: World) -> None:  # noqa: F811
    assert User.objects.filter(pk=world.user.pk).update(is_active=False)


def _take_role(world: World) -> None:  # noqa: F811
    assert User.objects.filter(pk=world.user.pk).update(role="")


def _delete(world: World) -> None:  # noqa: F811
    assert User.objects.filter(pk=world.user.pk).delete()


def _end_session(world: World) -> None:  # noqa: F811
    """As an administrator does, or the user from another browser."""
    (row,) = sessions.list_sign_ins(world.user)
    assert sessions.end_one(world.user, row.pk)


def _change_password(world: World) -> None:  # noqa: F811
    world.user.set_password("quite another one")
    world.user.save()


async def _watched(viewer: Viewer, world: World) -> None:  # noqa: F811
    await world.begin()
    await world.write((1, b"one\n"))
    await viewer.until(lambda seen: seen.lines)
    for _ in range(5):  # it continues while nothing has changed
        await asyncio.sleep(session_guard.RECHECK_SECONDS)
        await world.write((2, b"more\n"))
    await viewer.until(lambda seen: len(seen.seqs) == 6)


@pytest.mark.parametrize("end", [_revoke, _expire, _switch_off, _take_role, _delete])
async def test_a_socket_ends_with_the_right_that_its_token_gave(
    connect: Callable[..., Any],  # noqa: F811
    world: World,  # noqa: F811
    end: Callable[[World], None],
) -> None:
    viewer = await connect(world.run.pk, world.token)
    await _watched(viewer, world)
    await sync_to_async(end)(world)
    assert await viewer.until_closed() == 4403
    await world.write((1, b"not for you\n"))
    assert len(viewer.seqs) == 6


async def test_a_socket_stays_with_a_lower_role_that_may_still_read(
    connect: Callable[..., Any],  # noqa: F811
    world: World,  # noqa: F811
) -> None:
    await sync_to_async(User.objects.filter(pk=world.user.pk).update)(role="admin")
    viewer = await connect(world.run.pk, world.token)
    await world.begin()
    await sync_to_async(User.objects.filter(pk=world.user.pk).update)(role="viewer")
    await asyncio.sleep(4 * session_guard.RECHECK_SECONDS)
    await world.write((1, b"one\n"))
    await viewer.until(lambda seen: seen.lines)
    assert viewer.closed is None


@pytest.mark.parametrize("end", [None, _switch_off, _change_password, _take_role, _end_session, _delete])
async def test_a_socket_ends_with_its_session(
    connect: Callable[..., Any],  # noqa: F811
    world: World,  # noqa: F811
    end: Callable[[World], None] | None,  # or by signing out
) -> None:
    client = Client()
    await sync_to_async(client.force_login)(world.user)
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    viewer = await connect(world.run.pk, cookie=cookie, origin="http://testserver")
    await _watched(viewer, world)
    await sync_to_async(lambda: end(world) if end else client.logout())()
    assert await viewer.until_closed() == 4403


@pytest.mark.parametrize("by", ["token", "session"])
@pytest.mark.parametrize("end", [_revoke, _switch_off, _take_role, _end_session])
async def test_a_stream_that_is_followed_ends_with_the_right_to_it(
    people: dict[str, User],
    world: World,  # noqa: F811
    by: str,
    end: Callable[[World], None],
) -> None:
    if (by, end) in (("token", _end_session), ("session", _revoke)):
        return  # the one has nothing to do with the other
    await world.begin()
    await world.write((1, b"one\n"))
    client = Client()
    if by == "session":
        await sync_to_async(client.force_login)(world.user)
    headers = {"Authorization": f"Bearer {world.token}"} if by == "token" else {}
    answer = await sync_to_async(client.get)(f"/api/v1/runs/{world.run.pk}/logs/follow", headers=headers)
    assert answer.status_code == 200
    rows, is_over = [], False
    async for block in answer:
        rows += [json.loads(line) for line in block.splitlines() if line]
        if not is_over:
            await sync_to_async(end)(world)
            is_over = True
    assert rows[0]["text"] == "one"
    assert rows[1:] == [{"failed": {"code": "forbidden", "detail": "You no longer have permission to read this log."}}]


async def test_a_log_that_lacks_lines_is_told_and_not_asked_for_without_end(
    connect: Callable[..., Any],  # noqa: F811
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await whole_run(world)
    await sync_to_async(LogChunk.objects.all().delete)()
    looks: list[int] = []
    window = read.read_lines
    monkeypatch.setattr(read, "read_lines", lambda *given: looks.append(1) or window(*given))
    viewer = await connect(world.run.pk, world.token)
    assert await viewer.until_closed() == 1013
    assert viewer.messages[-1]["code"] == "log_damaged"
    assert len(looks) == tail.MAX_EMPTY_READS


async def test_a_slow_archive_holds_no_live_log_up(
    connect: Callable[..., Any],  # noqa: F811
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await whole_run(world)
    old = world.run
    world.run = await sync_to_async(_another)(old)
    world.log = RunLog(world.run.pk, 0)
    opened, window = threading.Event(), read.read_lines

    def slow(run_id: Any, *rest: Any) -> Any:
        if run_id == old.pk:
            opened.wait(20)
        return window(run_id, *rest)

    monkeypatch.setattr(read, "read_lines", slow)
    try:
        for _ in range(12):
            await connect(old.pk, world.token)
        live = await connect(world.run.pk, world.token)
        await world.begin()
        await world.write((1, b"live\n"))
        await live.until(lambda seen: seen.lines)
    finally:
        opened.set()


def _another(run: Run) -> Run:
    assert run.job is not None
    return launch(run.job, get_admin())


async def test_begun_lines_are_told_anew_on_every_connection(
    connect: Callable[..., Any],  # noqa: F811
    world: World,  # noqa: F811
) -> None:
    await world.begin()
    await world.write((1, b"one\n"), tail=b"Name: ")
    first = await connect(world.run.pk, world.token)
    await first.until(lambda seen: seen.of("partial"))
    assert first.of("partial")[-1]["lines"] == [["stdout", "Name: "]]
    await first.leave()
    await world.write((1, b"Name: Ada\n"))
    second = await connect(world.run.pk, world.token, after="1")
    await second.until(lambda seen: seen.of("partial"))
    assert second.of("partial")[-1]["lines"] == []


async def test_many_watchers_are_woken_more_rarely_and_no_nudge_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "SECONDS_PER_WATCHER", 1000.0)
    monkeypatch.setattr(tail, "MAX_WAKE_INTERVAL", 0.2)
    watched = tail.Tail(uuid4())
    monkeypatch.setattr(tail, "_tails", {(asyncio.get_running_loop(), uuid4()): watched})
    watched.wake_events = {asyncio.Event() for _ in range(tail.UNTHROTTLED_WATCHERS + 1)}
    watched.wake_watchers()
    assert all(event.is_set() for event in watched.wake_events), "after quiet at once"
    for event in watched.wake_events:
        event.clear()
    for _ in range(10):
        watched.wake_watchers()
    assert not any(event.is_set() for event in watched.wake_events)
    async with asyncio.timeout(10):
        await asyncio.gather(*(event.wait() for event in watched.wake_events))


async def test_few_watchers_are_woken_by_every_nudge() -> None:
    watched = tail.Tail(uuid4())
    watched.wake_events = {asyncio.Event()}
    for _ in range(3):
        watched.wake_watchers()
        (event,) = watched.wake_events
        assert event.is_set()
        event.clear()


async def test_lines_are_written_once_for_all_who_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []

    def pack(lines: list[Line], events: bool) -> bytes:
        made.append(events)
        return b"packed"

    monkeypatch.setattr(http_stream, "_encode_lines", pack)
    news = tail.LogUpdate(None, [])
    assert set(await asyncio.gather(*(http_stream._encode_once(news, False) for _ in range(5)))) == {b"packed"}
    await http_stream._encode_once(news, True)
    assert made == [False, True]


async def test_few_watchers_are_served_in_one_pass_of_the_event_loop() -> None:
    loop, turns, passes, served = asyncio.get_running_loop(), tail.LoopThrottle(), [0], list[int]()

    def count() -> None:
        passes[0] += 1
        loop.call_soon(count)

    async def watch() -> None:
        await turns.wait_turn()
        served.append(passes[0])

    watchers = [asyncio.create_task(watch()) for _ in range(5 * tail.WATCHERS_PER_PASS)]
    gone = asyncio.create_task(watch())
    await asyncio.sleep(0)
    gone.cancel()  # one that leaves takes no turn of another's
    count()
    await asyncio.gather(*watchers)
    assert max(served.count(one) for one in served) <= tail.WATCHERS_PER_PASS
    assert len(served) == 5 * tail.WATCHERS_PER_PASS


async def test_connections_of_one_credential_share_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    answers = iter([True, False, OperationalError("away"), True])

    def ask(self: session_guard.PermissionCheck) -> bool:
        asked.append(self.value)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(session_guard.PermissionCheck, "__call__", ask)
    monkeypatch.setattr(session_guard, "SHARED_SECONDS", 60.0)
    checks = session_guard.SharedChecks(tail.reader_threads)
    one, other = (
        session_guard.check_by_token("one", Permission.VIEW),
        session_guard.check_by_session("other", Permission.VIEW),
    )
    assert await asyncio.gather(*(checks.is_allowed(one) for _ in range(20))) == [True] * 20
    assert [await checks.is_allowed(other), await checks.is_allowed(one)] == [False, True]
    assert asked == ["one", "other"]
    checks._answers.expire(time.monotonic() + 61)
    with pytest.raises(OperationalError):
        await checks.is_allowed(one)
    checks._answers.expire(time.monotonic() + 61)
    assert await checks.is_allowed(one)
    assert "one" not in repr(one)
