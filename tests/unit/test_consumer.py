"""The WebSocket of a run's log: the same lines at any time, no duplicates, and refused connections."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.core import notify
from cronium_admin.jobs.models import Job
from cronium_admin.logs import read
from cronium_admin.logs.live import tail
from cronium_admin.logs.store import RunLog, commit_writes
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.state_machine import Ending
from cronium_admin.runtime_api import handlers
from tests.unit.test_logs_store import batch

pytestmark = [pytest.mark.django_db(transaction=True, serialized_rollback=True), pytest.mark.asyncio]
HOST = (b"host", b"testserver")


class Viewer:
    """A client connected to a run's log, with all received messages."""

    def __init__(self, socket: ApplicationCommunicator) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.closed: int | None = None

    async def leave(self) -> None:
        if not self.socket.future.done():
            await self.socket.send_input({"type": "websocket.disconnect", "code": 1001})
            await self.socket.wait(5)

    async def next(self, seconds: float = 5) -> dict[str, Any]:
        """The next message; a close is {"type": "websocket.close"}."""
        output = await self.socket.receive_output(seconds)
        if output["type"] == "websocket.close":
            self.closed = output.get("code", 1000)
            return dict(output)
        message: dict[str, Any] = json.loads(output["text"])
        self.messages.append(message)
        return message

    async def until(self, reached: Callable[["Viewer"], object]) -> "Viewer":
        while not reached(self) and self.closed is None:
            await self.next()
        assert reached(self), self.messages
        return self

    async def until_closed(self) -> int:
        while self.closed is None:
            await self.next()
        return self.closed

    @property
    def lines(self) -> list[tuple[int, str, str]]:
        found = [line for message in self.messages if message["type"] == "lines" for line in message["lines"]]
        return [(seq, stream, text) for seq, _, stream, text in found]

    @property
    def seqs(self) -> list[int]:
        return [line[0] for line in self.lines]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    """Opens a viewer of a run; keywords: token, cookie, origin, after (as text)."""
    from cronium_admin.web.asgi import application

    notify.bind_loop(asyncio.get_running_loop())
    opened: list[Viewer] = []

    async def open_one(
        run_id: uuid.UUID, token: str = "", cookie: str = "", origin: str = "", after: str | None = None
    ) -> Viewer:
        headers = [HOST]
        headers += [(b"authorization", f"Bearer {token}".encode())] if token else []
        headers += [(b"cookie", cookie.encode())] if cookie else []
        headers += [(b"origin", origin.encode())] if origin else []
        query = "" if after is None else f"after={after}"
        scope = {"type": "websocket", "path": f"/ws/runs/{run_id}/logs", "headers": headers, "subprotocols": []}
        socket = ApplicationCommunicator(application, scope | {"query_string": query.encode()})
        await socket.send_input({"type": "websocket.connect"})
        answer = await socket.receive_output(5)
        assert answer["type"] == "websocket.accept", "only an accepted socket can close with a code that a page sees"
        opened.append(Viewer(socket))
        return opened[-1]

    yield open_one
    for viewer in opened:
        await viewer.leave()
    notify.bind_loop(None)


class World:
    """A run with its log while it is written."""

    def __init__(self, job: Job, user: User) -> None:
        self.run: Run = launch(job, user)
        self.token = ApiToken.mint(user, "tests")[1]
        self.user = user
        self.log = RunLog(self.run.pk, 0)
        self.epoch = 0

    async def begin(self) -> None:
        def begin() -> None:
            claimed = state_machine.claim_next("here", "me")
            assert claimed is not None
            self.epoch = self.log.epoch = claimed.lease_epoch
            assert state_machine.mark_running(claimed.pk, self.epoch, "sha256:x")

        await sync_to_async(begin)()

    async def write(self, *parts: tuple[int, bytes], tail: bytes = b"") -> None:
        await sync_to_async(lambda: commit_writes([self.log.prepare_write(batch(*parts, tail=tail))]))()

    async def finish(self, code: int = 0) -> None:
        facts = {"log_lines": self.log.lines, "log_digest": self.log.digest}
        ending = Ending(state_machine.Status.SUCCEEDED, "exit_code", "It exited.", code, facts)

        def finish() -> None:
            commit_writes([self.log.prepare_seal()])
            assert state_machine.finish(self.run.pk, self.epoch, ending)

        await sync_to_async(finish)()


@pytest.fixture
def world(job: Job, people: dict[str, User]) -> World:
    return World(job, people["viewer"])


EXPECTED = [(1, "stdout", "one"), (2, "stderr", ""), (3, "stderr", "bad \ufffd"), (4, "stdout", "<b>four</b>")]


async def whole_run(world: World) -> None:
    await world.begin()
    await world.write((1, b"one\n"))
    await world.write((2, b"\nbad \xff\n"))
    await world.write((1, b"<b>four</b>\n"))
    await world.finish(3)


async def test_before_during_and_after_show_the_same(connect: Callable[..., Any], world: World) -> None:
    before = await connect(world.run.pk, world.token)
    await before.until(lambda viewer: viewer.of("status"))
    await world.begin()
    await world.write((1, b"one\n"))
    during = await connect(world.run.pk, world.token)
    await during.until(lambda viewer: viewer.lines)
    await world.write((2, b"\nbad \xff\n"))
    await world.write((1, b"<b>four</b>\n"))
    await world.finish(3)
    after = await connect(world.run.pk, world.token)
    for viewer in (before, during, after):
        assert await viewer.until_closed() == 1000
        assert viewer.lines == EXPECTED
        end = {"type": "end", "status": "succeeded", "exit_code": 3, "lines": 4, "digest": world.log.digest}
        end |= {"gaps": 0, "dropped_bytes": 0}
        assert viewer.messages[-1] == end
    assert [status["status"] for status in before.of("status")][:1] == ["queued"]
    assert before.of("status")[-1]["status"] == "succeeded"
    assert {status["phase"] for status in before.of("status")} >= {"queued", "ended"}


@pytest.mark.parametrize(("after", "expected"), [("0", 4), ("2", 2), ("4", 0), ("99", 0)])
async def test_after_skips_what_the_browser_has(
    connect: Callable[..., Any], world: World, after: str, expected: int
) -> None:
    await whole_run(world)
    viewer = await connect(world.run.pk, world.token, after=after)
    assert await viewer.until_closed() == 1000
    assert viewer.lines == EXPECTED[4 - expected :]
    assert viewer.messages[-1]["type"] == "end"


@pytest.mark.parametrize("after", ["", "x", "-1", "1.5", "%00", "9" * 40, "1&after=2", "²"])
async def test_a_bad_after_shows_the_whole_log_or_the_rest(
    connect: Callable[..., Any], world: World, after: str
) -> None:
    await whole_run(world)
    viewer = await connect(world.run.pk, world.token, after=quote(after, safe="&=%"))
    assert await viewer.until_closed() == 1000
    assert viewer.lines in (EXPECTED, EXPECTED[1:])


async def test_a_reconnect_leaves_no_gap_and_repeats_nothing(connect: Callable[..., Any], world: World) -> None:
    await world.begin()
    seqs: list[int] = []
    for number in range(8):
        await world.write((1, f"line {number}\nand\n".encode()))
        viewer = await connect(world.run.pk, world.token, after=str(seqs[-1] if seqs else 0))
        if number % 2:
            await world.write((2, b"more\n"))
        await viewer.until(lambda seen: seen.lines)
        await viewer.leave()
        seqs += viewer.seqs
    await world.finish()
    viewer = await connect(world.run.pk, world.token, after=str(seqs[-1]))
    await viewer.until_closed()
    assert seqs + viewer.seqs == list(range(1, world.log.lines + 1))


async def test_a_lost_nudge_costs_delay_and_no_line(
    connect: Callable[..., Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.2)
    await world.begin()
    viewer = await connect(world.run.pk, world.token)
    await viewer.until(lambda seen: seen.of("status"))
    monkeypatch.setattr(notify, "publish_changed", lambda run_ids: None)
    await world.write((1, b"one\n"))
    await viewer.until(lambda seen: seen.lines)
    await world.finish()
    assert await viewer.until_closed() == 1000


async def test_a_nudge_shows_a_line_at_once(
    connect: Callable[..., Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "POLL_SECONDS", 60.0)
    await world.begin()
    viewer = await connect(world.run.pk, world.token)
    await viewer.until(lambda seen: seen.of("status"))
    await world.write((1, b"one\n"))
    await viewer.until(lambda seen: seen.lines)
    await world.finish()
    assert await viewer.until_closed() == 1000


async def test_output_and_condition_are_told_at_once(
    connect: Callable[..., Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the time of the output; another request returns the output itself."""
    monkeypatch.setattr(tail, "POLL_SECONDS", 60.0)
    await world.begin()
    viewer = await connect(world.run.pk, world.token)
    await viewer.until(lambda seen: seen.of("status"))
    assert (viewer.of("status")[-1]["output_at"], viewer.of("status")[-1]["condition"]) == (None, None)
    ask = sync_to_async(handlers.handle_request)
    assert not (await ask(world.run.pk, "output", {"output": "words"})).error
    await viewer.until(lambda seen: seen.of("status")[-1]["output_at"])
    first = viewer.of("status")[-1]["output_at"]
    assert not (await ask(world.run.pk, "output", {"output": "words"})).error
    await viewer.until(lambda seen: seen.of("status")[-1]["output_at"] != first)
    assert not (await ask(world.run.pk, "condition", {"condition": False})).error
    await viewer.until(lambda seen: seen.of("status")[-1]["condition"] is False)
    assert "words" not in json.dumps(viewer.messages)


async def test_begun_lines_show_and_go(connect: Callable[..., Any], world: World) -> None:
    await world.begin()
    viewer = await connect(world.run.pk, world.token)
    await world.write(tail=b"Name: ")
    await viewer.until(lambda seen: seen.of("partial") and seen.of("partial")[-1]["lines"] == [["stdout", "Name: "]])
    await world.write((1, b"Name: Ada\n"))
    await viewer.until(lambda seen: seen.lines and seen.of("partial")[-1]["lines"] == [])
    assert viewer.lines == [(1, "stdout", "Name: Ada")]


async def test_a_long_log_comes_in_order_in_windows(connect: Callable[..., Any], world: World) -> None:
    await world.begin()
    for at in range(0, 9000, 1500):
        await world.write((1 + at // 1500 % 2, b"".join(b"line %d\n" % n for n in range(at + 1, at + 1501))))
    await world.finish()
    viewer = await connect(world.run.pk, world.token)
    await viewer.until_closed()
    assert viewer.seqs == list(range(1, 9001))
    assert len(viewer.of("lines")) > 1
    assert [text for _, _, text in viewer.lines] == [f"line {n}" for n in range(1, 9001)]


async def test_a_run_cancelled_in_the_queue_ends_with_an_empty_log(connect: Callable[..., Any], world: World) -> None:
    viewer = await connect(world.run.pk, world.token)
    await viewer.until(lambda seen: seen.of("status"))
    await sync_to_async(state_machine.cancel_queued)(world.run.pk, "me")
    assert await viewer.until_closed() == 1000
    end = {"type": "end", "status": "cancelled", "exit_code": None, "lines": 0, "digest": ""}
    assert viewer.messages[-1] == end | {"gaps": 0, "dropped_bytes": 0}


async def test_a_failing_read_ends_the_connection_so_that_the_browser_comes_again(
    connect: Callable[..., Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(run_id: uuid.UUID) -> None:
        raise RuntimeError("the database is away")

    monkeypatch.setattr(read, "read_state", broken)
    viewer = await connect(world.run.pk, world.token)
    assert await viewer.until_closed() == 1011
    assert viewer.messages == []


# Permissions.


def signed_in(user: User) -> str:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return f"sessionid={client.cookies['sessionid'].value}"


async def test_a_session_may_look_from_our_own_page(connect: Callable[..., Any], world: World) -> None:
    await whole_run(world)
    cookie = await sync_to_async(signed_in)(world.user)
    viewer = await connect(world.run.pk, cookie=cookie, origin="http://testserver")
    assert await viewer.until_closed() == 1000
    assert viewer.lines == EXPECTED


async def refused(viewer: Viewer) -> None:
    assert await viewer.until_closed() == 4403
    assert viewer.messages == []


@pytest.mark.parametrize("token", ["", "crn_wrong", "wrong", "crn_" + "x" * 5000])
async def test_strangers_are_refused(connect: Callable[..., Any], world: World, token: str) -> None:
    await refused(await connect(world.run.pk, token))


@pytest.mark.parametrize("cookie", ["sessionid=nonsense", "sessionid="])
async def test_a_session_that_is_none_is_refused(connect: Callable[..., Any], world: World, cookie: str) -> None:
    await refused(await connect(world.run.pk, cookie=cookie))


@pytest.mark.parametrize("change", [{"revoked_at": 0}, {"expires_at": -1}])
async def test_a_revoked_or_expired_token_is_refused(
    connect: Callable[..., Any], world: World, change: dict[str, int]
) -> None:
    values = {name: timezone.now() + timedelta(seconds=seconds) for name, seconds in change.items()}
    await sync_to_async(lambda: ApiToken.objects.update(**values))()
    await refused(await connect(world.run.pk, world.token))


@pytest.mark.parametrize("how", ["token", "cookie"])
async def test_an_inactive_person_is_refused(connect: Callable[..., Any], world: World, how: str) -> None:
    cookie = await sync_to_async(signed_in)(world.user)
    await sync_to_async(lambda: User.objects.update(is_active=False))()
    given = {"token": world.token} if how == "token" else {"cookie": cookie}
    await refused(await connect(world.run.pk, **given))


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "http://testserver.evil.test", "null", "http://testserver:81", "garbage"]
)
async def test_another_sites_page_is_refused(connect: Callable[..., Any], world: World, origin: str) -> None:
    cookie = await sync_to_async(signed_in)(world.user)
    await refused(await connect(world.run.pk, cookie=cookie, origin=origin))


async def test_an_unknown_run_is_refused(connect: Callable[..., Any], world: World) -> None:
    await refused(await connect(uuid.uuid4(), world.token))


async def test_a_run_that_is_deleted_meanwhile_ends_the_view(connect: Callable[..., Any], world: World) -> None:
    viewer = await connect(world.run.pk, world.token)
    await viewer.until(lambda seen: seen.of("status"))
    await sync_to_async(lambda: Run.objects.all().delete())()
    notify.publish_changed([world.run.pk])
    assert await viewer.until_closed() == 4403


async def test_a_hundred_viewers_of_a_run_cost_about_one_read(
    connect: Callable[..., Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "POLL_SECONDS", 60.0)
    await world.begin()
    viewers = [await connect(world.run.pk, world.token) for _ in range(100)]
    for viewer in viewers:
        await viewer.until(lambda seen: seen.of("status"))
    reads: list[int] = []
    look = tail._read_update

    def counted(run_id: uuid.UUID, after: int, slow: bool) -> tail.LogUpdate | None:
        reads.append(after)
        return look(run_id, after, slow)

    monkeypatch.setattr(tail, "_read_update", counted)
    await world.write((1, b"one\ntwo\n"))
    for viewer in viewers:
        await viewer.until(lambda seen: seen.seqs == [1, 2])
    assert len(reads) <= 4, reads  # one for the notification, and a last read of the viewers that reached the end
    await world.finish()
    for viewer in viewers:
        assert await viewer.until_closed() == 1000
    assert len(tail._tails) == 0


async def test_a_channel_layer_that_fails_costs_delay_and_no_line(
    connect: Callable[..., Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.2)

    class Broken:
        async def new_channel(self) -> str:
            raise ConnectionError("the broker is away")

    monkeypatch.setattr(tail, "get_channel_layer", Broken)
    await world.begin()
    viewer = await connect(world.run.pk, world.token)
    await viewer.until(lambda seen: seen.of("status"))
    await world.write((1, b"one\n"))
    await viewer.until(lambda seen: seen.seqs == [1])
    await world.finish()
    assert await viewer.until_closed() == 1000


async def test_a_quiet_log_has_a_heartbeat(
    connect: Callable[..., Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent after a read of the store: there was no further line."""
    monkeypatch.setattr("cronium_admin.logs.live.consumers.HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.05)
    await world.begin()
    viewer = await connect(world.run.pk, world.token)
    await viewer.until(lambda seen: len(seen.of("beat")) == 3)
    assert viewer.messages[0]["type"] == "status"
    await world.finish()
    assert await viewer.until_closed() == 1000


@pytest.fixture
def port_dropped(settings: Any) -> None:
    """A proxy at port 8443 passes the Host header on without the port."""
    settings.CSRF_TRUSTED_ORIGINS = ["https://testserver:8443"]


@pytest.mark.usefixtures("port_dropped")
async def test_behind_a_proxy_that_drops_the_port_our_own_page_may_look(
    connect: Callable[..., Any], world: World
) -> None:
    cookie = await sync_to_async(signed_in)(world.user)
    viewer = await connect(world.run.pk, cookie=cookie, origin="https://testserver:8443")
    assert (await viewer.socket.receive_output(5))["type"] == "websocket.send"
    await refused(await connect(world.run.pk, cookie=cookie, origin="https://testserver:8444"))
    await refused(await connect(world.run.pk, cookie=cookie, origin="https://evil.test:8443"))


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/ws/", "testserver", 404),
        ("/ws/other", "testserver", 404),
        ("/ws/runs/x/logs", "testserver", 404),
        (f"/ws/runs/{uuid.UUID(int=0)}/logs/", "testserver", 404),
        (f"/ws/runs/{'-' * 36}/logs", "testserver", 404),
        (f"/ws/runs/{uuid.UUID(int=0)}/logs", "evil.test", 400),
        (f"/ws/runs/{uuid.UUID(int=0)}/logs", "", 400),
    ],
)
@pytest.mark.parametrize("has_answers", [True, False])
async def test_a_wrong_path_or_host_ends_the_handshake_without_a_complaint(
    world: World, caplog: pytest.LogCaptureFixture, path: str, host: str, status: int, has_answers: bool
) -> None:
    from cronium_admin.web.asgi import application

    extensions = {"websocket.http.response": {}} if has_answers else {}
    headers = [(b"host", host.encode()), (b"authorization", f"Bearer {world.token}".encode())]
    scope = {"type": "websocket", "path": path, "headers": headers, "subprotocols": [], "query_string": b""}
    socket = ApplicationCommunicator(application, scope | {"extensions": extensions})
    await socket.send_input({"type": "websocket.connect"})
    answer = await socket.receive_output(5)
    if has_answers:
        assert (answer["type"], answer["status"]) == ("websocket.http.response.start", status)
    else:
        assert answer["type"] == "websocket.close"
    await socket.wait(5)
    assert not [record for record in caplog.records if record.exc_info or record.levelname in ("ERROR", "CRITICAL")]
