"""The server's edge: requests that it refuses before Django, its queues, and which connection is closed for another."""

import asyncio
import json
import logging
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
import uvicorn
from asgiref.sync import sync_to_async
from django.conf import settings
from uvicorn.server import ServerState

from cronium_admin.web.edge import acceptor, bodies, credentials, protocol
from cronium_admin.web.edge.acceptor import Acceptor, open_listeners
from cronium_admin.web.edge.application import Edge, StreamLimit
from cronium_admin.web.edge.bodies import MAX_BYTES
from cronium_admin.web.edge.connections import ConnectionTable, compute_max_connections
from cronium_admin.web.edge.gate import FairSemaphore, QueueFull
from cronium_admin.web.edge.guard import MAX_CLIENTS, Guard, RateLimit, get_client_key
from cronium_admin.web.edge.protocol import HttpProtocol, WebSocketProtocol
from cronium_admin.web.edge.server_log import LoopErrorLog, RateLimitFilter

pytestmark = pytest.mark.asyncio


async def test_a_slot_goes_to_the_clients_in_turn() -> None:
    gate, order = FairSemaphore(1, 10, 10, 5.0), []
    await gate.acquire("many")

    async def ask(client: str) -> None:
        await gate.acquire(client)
        order.append(client)
        gate.release()

    asked = [asyncio.create_task(ask(client)) for client in ("many", "many", "many", "other")]
    await asyncio.sleep(0)
    gate.release()
    await asyncio.gather(*asked)
    assert order == ["many", "other", "many", "many"]


async def test_a_full_queue_refuses_at_once_and_a_long_wait_in_time() -> None:
    gate = FairSemaphore(1, 2, 1, 0.05)
    await gate.acquire("a")
    first = asyncio.create_task(gate.acquire("a"))
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await gate.acquire("a")  # more than one of the same client
    with pytest.raises(QueueFull):
        await first
    gate.release()
    await gate.acquire("a")  # no slot was lost


async def test_a_client_that_leaves_while_it_waits_takes_no_slot() -> None:
    gate = FairSemaphore(1, 5, 5, 5.0)
    await gate.acquire("a")
    gone = asyncio.create_task(gate.acquire("b"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    gate.release()
    await gate.acquire("c")


class Told:
    """The messages that an application received, and its responses."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.sent: list[dict[str, Any]] = []
        self.received = 0

    async def receive(self) -> dict[str, Any]:
        if self.messages:
            self.received += 1
            return self.messages.pop(0)
        await asyncio.sleep(30)
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


async def _plain(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    name = await sync_to_async(lambda: threading.current_thread().name)()
    content = json.dumps({"bytes": len(message["body"]), "thread": name}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": content})


def _edge(http: Any = _plain, requests: int = 2, connections: int = 2000) -> Edge:
    return Edge(http, _plain, requests, connections, "1")


def _scope(path: str = "/jobs/", method: str = "POST", **headers: str) -> dict[str, Any]:
    found = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "path": path, "method": method, "headers": found, "client": ("192.0.2.1", 1)}


def _piece(size: int, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


async def test_a_body_reaches_the_application_whole() -> None:
    told = Told(_piece(1000), _piece(24, more=False))
    await _edge()(_scope(), told.receive, told.send)
    assert (told.status, json.loads(told.sent[1]["body"])["bytes"]) == (200, 1024)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/nowhere", "/static/x", "/sign-in/"])
async def test_a_body_without_a_length_is_refused_while_it_comes(path: str, method: str) -> None:
    told = Told(*(_piece(MAX_BYTES // 4) for _ in range(40)))
    await _edge()(_scope(path, method), told.receive, told.send)
    assert told.status == 413
    assert (b"connection", b"close") in told.sent[0]["headers"]
    assert told.received < 10, "a little more is dropped, so that the client reads its answer, and not all"


async def test_a_declared_length_is_refused_before_a_byte_is_read() -> None:
    told = Told()
    await _edge()(_scope(content_length=str(MAX_BYTES + 1), expect="100-continue"), told.receive, told.send)
    assert (told.status, told.received) == (413, 0)


async def test_an_upload_that_may_be_larger_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bodies.LARGER_LIMITS, "/upload/", 2 * MAX_BYTES)
    told = Told(_piece(MAX_BYTES), _piece(10, more=False))
    await _edge()(_scope("/upload/x"), told.receive, told.send)
    assert told.status == 200


async def test_packed_bodies_are_refused() -> None:
    told = Told(_piece(10, more=False))
    await _edge()(_scope(content_encoding="gzip"), told.receive, told.send)
    assert told.status == 415


async def test_a_body_that_does_not_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr("cronium_admin.web.edge.answers.LINGER_SECONDS", 0.01)
    told = Told(_piece(1))
    await _edge()(_scope(), told.receive, told.send)
    assert told.status == 408


async def test_the_sum_of_bodies_is_bounded_and_given_back() -> None:
    found = bodies.BodyReader(max_in_flight=100)
    held = await found.read_body(_scope(), Told(_piece(80, more=False)).receive)
    with pytest.raises(bodies.BodyError) as refused:
        await found.read_body(_scope(), Told(_piece(30, more=False)).receive)
    assert refused.value.status == 503
    found.release(len(held))
    assert found.in_flight == 0


async def test_health_needs_no_thread_and_no_slot() -> None:
    async def never(*_: Any) -> None:
        raise AssertionError

    for method, path in [("GET", "/health"), ("HEAD", "/health"), ("GET", "/api/v1/health")]:
        told = Told()
        await _edge(never)(_scope(path, method, host="10.0.0.7:8000"), told.receive, told.send)
        assert told.status == 200


async def test_past_the_queue_strangers_are_told_to_come_again() -> None:
    release, inside = asyncio.Event(), 0

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        nonlocal inside
        inside += 1
        await release.wait()
        await _plain(scope, receive, send)

    edge = _edge(slow)
    asked = [Told(_piece(0, more=False)) for _ in range(100)]
    tasks = [asyncio.create_task(edge(_scope(), one.receive, one.send)) for one in asked]
    for _ in range(300):
        if sum(bool(one.sent) for one in asked) == 100 - 2 - 64:
            break
        await asyncio.sleep(0.02)
    assert inside == 2
    refused = [one for one in asked if one.sent]
    assert {one.status for one in refused} == {503}
    assert len(refused) == 100 - 2 - 64
    assert (b"retry-after", b"5") in refused[0].sent[0]["headers"]
    release.set()
    await asyncio.gather(*tasks)
    assert sum(one.status == 200 for one in asked) == 66
    threads = {json.loads(one.sent[1]["body"])["thread"] for one in asked if one.status == 200}
    assert len(threads) <= 2


async def test_an_answer_that_lasts_holds_neither_slot_nor_thread() -> None:
    open_streams = asyncio.Event()

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await sync_to_async(lambda: None)()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await open_streams.wait()
        await send({"type": "http.response.body", "body": b""})
        await sync_to_async(lambda: None)()  # as a response's close

    edge = _edge(stream)
    asked = [Told(_piece(0, more=False)) for _ in range(50)]
    tasks = [asyncio.create_task(edge(_scope(method="GET"), one.receive, one.send)) for one in asked]
    for _ in range(200):
        if all(one.sent for one in asked):
            break
        await asyncio.sleep(0.02)
    assert {one.status for one in asked} == {200}
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("request-")]
    open_streams.set()
    await asyncio.gather(*tasks)
    assert len(set(names)) < 20


async def test_one_person_can_not_take_all_streams() -> None:
    streams = StreamLimit(8)
    assert [streams.try_enter("a") for _ in range(3)] == [True, True, False]
    assert streams.try_enter("b")
    streams.leave("a")
    assert streams.try_enter("a")


class Transport:
    def __init__(self) -> None:
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


async def test_the_connection_that_a_stranger_keeps_idle_longest_makes_room() -> None:
    connections = ConnectionTable(3)
    transports: list[Any] = [Transport() for _ in range(6)]
    member, busy, idle = (connections.admit(one, "a") for one in transports[:3])
    assert member
    assert busy
    assert idle
    member.authenticate("a person")
    busy.mark_busy()
    assert connections.admit(transports[3], "b")
    assert [one.is_aborted for one in transports] == [False, False, True, False, False, False]
    assert connections.admit(transports[4], "b")
    assert transports[3].is_aborted, "what a member keeps idle is closed last"
    for one in [*connections.idle_anonymous.connections, *connections.idle_authenticated.connections]:
        one.mark_busy()
    assert connections.admit(transports[5], "b") is None


async def test_the_member_with_most_idle_connections_makes_room() -> None:
    connections = ConnectionTable(4)
    transports: list[Any] = [Transport() for _ in range(5)]
    for one, name in zip(transports, ["first", "many", "many", "many"], strict=False):
        entered = connections.admit(one, "a")
        assert entered
        entered.authenticate(name)
    assert connections.admit(transports[4], "a")
    assert [one.is_aborted for one in transports] == [False, True, False, False, False]


def _on(connections: ConnectionTable, scope: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    transport: Any = Transport()
    return scope | {"state": {"connection": connections.admit(transport, "192.0.2.1")}}, transport


async def test_a_body_that_comes_slowly_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    connections, edge = ConnectionTable(1), _edge()
    told = Told(_piece(1))
    scope, transport = _on(connections, _scope())
    task = asyncio.create_task(edge(scope, told.receive, told.send))
    await asyncio.sleep(0.01)
    assert connections.admit(cast(Any, Transport()), "192.0.2.2")
    assert transport.is_aborted
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_logs_that_say_nothing_are_followed_without_slots_and_threads() -> None:
    line = asyncio.Event()

    async def follow(scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].endswith("/follow"):
            await _plain(scope, receive, send)
            return
        await sync_to_async(lambda: None)()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await line.wait()
        await send({"type": "http.response.body", "body": b"line", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    edge = _edge(follow)
    edge.credentials._validity[credentials._hash_credential("token", "good")] = True
    shown = {"authorization": "Bearer good"}
    quiet = [Told({"type": "http.request", "body": b""}) for _ in range(5)]
    path = "/api/v1/runs/x/logs/follow"
    streams = [asyncio.create_task(edge(_scope(path, "GET", **shown), one.receive, one.send)) for one in quiet]
    page = Told({"type": "http.request", "body": b""})
    await asyncio.wait_for(edge(_scope("/jobs/", "GET", **shown), page.receive, page.send), 5)
    assert page.status == 200
    line.set()
    await asyncio.wait_for(asyncio.gather(*streams), 5)
    assert [b"".join(part.get("body", b"") for part in one.sent) for one in quiet] == [b"line"] * 5
    assert edge.authenticated_gate._free == 2


@pytest.mark.parametrize("is_followed", [False, True])
async def test_who_does_not_read_an_answer_keeps_no_place(is_followed: bool) -> None:
    """A client that follows a log, which may be silent for long, keeps its connection."""
    connections, blocked = ConnectionTable(1), asyncio.Event()

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def send(message: Any) -> None:
        if message.get("more_body"):
            blocked.set()
            await asyncio.sleep(30)

    edge = _edge(stream)
    edge.credentials._validity[credentials._hash_credential("token", "good")] = True
    path = "/api/v1/runs/x/logs/follow" if is_followed else "/api/v1/runs/x/logs.txt"
    scope, transport = _on(connections, _scope(path, "GET", authorization="Bearer good"))
    task = asyncio.create_task(edge(scope, Told(_piece(0, more=False)).receive, send))
    await blocked.wait()
    assert (connections.admit(cast(Any, Transport()), "192.0.2.2") is None) == is_followed
    assert transport.is_aborted != is_followed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("most", [16, 512, 2000, 60_000])
async def test_a_new_connection_always_has_room(most: int) -> None:
    edge = _edge(requests=24, connections=most)
    strangers = edge.anonymous_gate._free + edge.anonymous_gate._max_waiting
    assert edge._streams.most + edge.authenticated_gate._max_waiting + edge.authenticated_gate._free + strangers < most
    assert edge.authenticated_gate._per_client <= edge.authenticated_gate._max_waiting // 4


async def test_half_of_the_descriptors_stay_for_runs_and_database() -> None:
    assert compute_max_connections(2000, 1024) == 512
    assert compute_max_connections(2000, 65_536) == 2000


async def test_a_kind_of_complaint_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("cronium").propagate = True
    handler, loop = LoopErrorLog(), asyncio.get_running_loop()
    for _ in range(1000):
        handler(loop, {"message": "socket.accept() out of system resource", "exception": OSError(24, "too many")})
    handler(loop, {"message": "something else", "exception": ValueError("x")})
    assert len(caplog.records) == 2


async def test_what_strangers_cause_fills_no_log() -> None:
    rarely = RateLimitFilter()
    records = [logging.LogRecord("uvicorn.error", 30, "", 0, "Invalid HTTP request", (), None) for _ in range(100)]
    assert sum(rarely.filter(one) for one in records) == RateLimitFilter.MAX_RECORDS


@dataclass
class Served:
    """A real server with the edge's acceptor and protocols."""

    edge: Edge
    acceptor: Acceptor
    port: int
    protocols: list[Any]


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    edge, protocols = _edge(), list[Any]()
    monkeypatch.setattr(HttpProtocol, "server_connections", ConnectionTable(50), raising=False)
    guard = Guard(edge.anonymous_gate, edge.credentials)
    monkeypatch.setattr(HttpProtocol, "guard", guard, raising=False)
    config = uvicorn.Config(edge, lifespan="off", http=HttpProtocol, ws=WebSocketProtocol, log_config=None)
    config.load()
    state = ServerState()

    def make(member: str) -> HttpProtocol:
        protocols.append(HttpProtocol(config, state, {}))
        protocols[-1].credential_id = member
        return cast(HttpProtocol, protocols[-1])

    (listener,) = open_listeners("127.0.0.1", 0)
    opened = Acceptor(listener, guard, make)
    opened.open()
    yield Served(edge, opened, listener.getsockname()[1], protocols)
    opened.close()
    for one in list(state.connections):
        cast(Any, one).shutdown()
    await asyncio.sleep(0.01)


@pytest.fixture
def port(served: Served) -> int:
    return served.port


async def _ask(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_the_parts_of_an_answer_are_sent_at_once(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.readline()
    (made,) = served.protocols
    writer.close()
    assert made.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("is_reset", [True, False])
async def test_a_connection_that_has_ended_keeps_no_timer(served: Served, is_reset: bool) -> None:
    """The timer would keep the request's memory for the time of an idle connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.readline()
    (made,) = served.protocols
    while made.timeout_keep_alive_task is None:
        await asyncio.sleep(0.01)
    client = writer.get_extra_info("socket")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", int(is_reset), 0))
    writer.close()
    for _ in range(200):
        if made.timeout_keep_alive_task is None:
            break
        await asyncio.sleep(0.01)
    assert made.timeout_keep_alive_task is None


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: a"])
async def test_a_head_that_does_not_end_is_closed(port: int, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    assert (await _ask(port, begun)).startswith(b"HTTP/1.1 408 ")


async def test_a_head_too_large_is_refused(port: int) -> None:
    assert b" 400 " in (await _ask(port, b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 20_000))[:30]


def _fill(gate: FairSemaphore, client: str = "127.0.0.1") -> None:
    """Queues as many requests of one client as allowed."""
    gate._free = 0
    gate._queues[client] = deque(asyncio.get_running_loop().create_future() for _ in range(gate._max_waiting))
    gate._waiting = gate._max_waiting


HEAD = b"GET /jobs/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n"


async def test_under_a_flood_a_stranger_is_refused_before_it_has_a_transport(served: Served) -> None:
    _fill(served.edge.anonymous_gate)
    answer = await _ask(served.port, HEAD % b"")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in answer
    assert served.protocols == []
    known = served.edge.credentials
    known._validity[credentials._hash_credential("token", "good")] = True
    known._validity[credentials._hash_credential("token", "forged")] = False
    assert (await _ask(served.port, HEAD % b"Authorization: Bearer forged\r\n")).startswith(b"HTTP/1.1 503 ")
    assert served.protocols == []
    assert b" 200 " in await _ask(served.port, HEAD % b"AUTHORIZATION: bearer good\r\n")
    assert b" 200 " in await _ask(served.port, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


async def test_a_connection_that_shows_a_known_credential_is_a_members_from_its_first_byte(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other connections arrive before its request is handled; it is not closed for them."""
    begun: list[bool] = []
    real = HttpProtocol.data_received

    def see(self: HttpProtocol, data: bytes) -> None:
        assert self._entry
        begun.append(self._entry.is_authenticated)
        real(self, data)

    monkeypatch.setattr(HttpProtocol, "data_received", see)
    known = served.edge.credentials
    known._validity[credentials._hash_credential("token", "good")] = True
    assert b" 200 " in await _ask(served.port, HEAD % b"Authorization: Bearer good\r\n")
    assert b" 200 " in await _ask(served.port, HEAD % b"")
    assert begun == [True, False]


def _remember(served: Served) -> bytes:
    """A header with a cached credential."""
    served.edge.credentials._validity[credentials._hash_credential("token", "good")] = True
    return b"Authorization: Bearer good\r\n"


async def test_members_enter_before_the_strangers_who_came_first(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "TURN_SECONDS", 60.0)
    partial = b"GET / HTTP/1.1\r\nX-Slow: a"
    heads = [partial] * (acceptor.MAX_QUEUED + 10) + [HEAD % b"", HEAD % _remember(served)]
    clients = [socket.create_connection(("127.0.0.1", served.port)) for _ in heads]
    for client, head in zip(clients, heads, strict=True):
        client.sendall(head)
    while len(served.protocols) < acceptor.MAX_QUEUED + 1:
        await asyncio.sleep(0.01)
    assert [bool(one.credential_id) for one in served.protocols] == [True] + [False] * acceptor.MAX_QUEUED
    ports = [client.getsockname()[1] for client in clients]
    assert [one.client[1] for one in served.protocols[:2]] == [ports[-1], ports[-2]]
    for client in clients[:11]:  # those that have waited longest without a complete head
        client.settimeout(5)
        assert client.recv(100).startswith(b"HTTP/1.1 503 ")
    for client in clients:
        client.close()


async def test_a_member_whose_head_comes_late_is_not_sent_away_for_room(served: Served) -> None:
    client, connection = socket.socketpair()
    connection.setblocking(False)
    client.sendall(HEAD % _remember(served))
    served.acceptor._admit_or_refuse(connection, "192.0.2.1")
    assert b" 200 " in await asyncio.to_thread(client.recv, 100)
    client.close()


async def test_a_head_that_comes_late_is_checked_as_one_that_came_at_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpProtocol.guard, "_streams", RateLimit(0.0001, 0))
    head = HEAD.replace(b"/jobs/", b"/ws/runs/1/") % _remember(served)
    for enter in (
        lambda accepted: served.acceptor._admit_or_refuse(*accepted),
        lambda accepted: served.acceptor._enqueue(accepted, served.acceptor._partial),
    ):
        client, connection = socket.socketpair()
        connection.setblocking(False)
        client.sendall(head)
        enter((connection, "192.0.2.1"))
        assert (await asyncio.to_thread(client.recv, 100)).startswith(b"HTTP/1.1 503 ")
        client.close()
    assert served.protocols == []


async def test_a_member_who_begins_to_follow_too_many_logs_at_once_is_told_to_wait(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpProtocol.guard, "_streams", RateLimit(0.0001, 3))
    shown = _remember(served)
    for path in (b"/ws/runs/1/", b"/api/v1/runs/1/logs/follow?x", b"/ws/runs/1/"):
        assert not (await _ask(served.port, HEAD.replace(b"/jobs/", path) % shown)).startswith(b"HTTP/1.1 503 ")
    assert (await _ask(served.port, HEAD.replace(b"/jobs/", b"/ws/runs/1/") % shown)).startswith(b"HTTP/1.1 503 ")
    assert b" 200 " in await _ask(served.port, HEAD % shown)


async def test_under_a_flood_a_second_request_and_a_late_head_are_refused_too(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 " in await reader.readuntil(b"}")
    _fill(served.edge.anonymous_gate)
    writer.write(HEAD % b"")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 503 ")
    writer.close()


async def test_in_a_full_queue_a_client_with_few_requests_takes_a_place_of_the_one_with_most() -> None:
    gate = FairSemaphore(1, 4, 4, 5.0)
    await gate.acquire("many")
    many = [asyncio.create_task(gate.acquire("many")) for _ in range(4)]
    await asyncio.sleep(0)
    assert not gate.has_room("many")
    assert gate.has_room("other")
    other = asyncio.create_task(gate.acquire("other"))
    await asyncio.wait({many[-1]}, timeout=1)
    with pytest.raises(QueueFull):
        await many[-1]
    for _ in range(5):
        gate.release()
    await asyncio.gather(other, *many[:-1])
    assert (gate._free, gate._waiting) == (1, 0), "neither a slot nor a place was lost or made"


async def test_addresses_that_one_subscriber_has_are_one_client() -> None:
    assert (
        get_client_key("2001:db8:1:2::5") == get_client_key("2001:db8:1:2:aaaa::9") != get_client_key("2001:db8:1:3::5")
    )
    assert get_client_key("::ffff:192.0.2.7") == get_client_key("192.0.2.7") == "192.0.2.7"


def _guard(proxies: tuple[str, ...] = ()) -> tuple[Guard, Edge]:
    edge = _edge()
    return Guard(edge.anonymous_gate, edge.credentials, proxies), edge


async def test_a_flood_of_one_address_does_not_refuse_another() -> None:
    guard, edge = _guard()
    _fill(edge.anonymous_gate)
    assert guard.is_refused(HEAD % b"", "127.0.0.1")
    assert not guard.is_refused(HEAD % b"", "127.0.0.2")


async def test_behind_a_proxy_the_guard_knows_the_client() -> None:
    guard, edge = _guard(("10.0.0.1",))
    _fill(edge.anonymous_gate, "192.0.2.9")
    assert guard.is_refused(HEAD % b"X-Forwarded-For: 198.51.100.1, 192.0.2.9\r\n", "10.0.0.1")
    assert not guard.is_refused(HEAD % b"X-Forwarded-For: 192.0.2.9, 198.51.100.1\r\n", "10.0.0.1")
    assert not guard.is_refused(HEAD % b"X-Forwarded-For: 192.0.2.9\r\n", "10.0.0.2"), "no proxy of ours"


async def test_sockets_of_strangers_are_a_few_a_second_of_each_address() -> None:
    guard, edge = _guard()
    edge.credentials._validity[credentials._hash_credential("session", "good")] = True
    socket = b"GET /ws/runs/x/logs HTTP/1.1\r\nUpgrade: websocket\r\n%s\r\n"
    told = [guard.is_refused(socket % b"", "127.0.0.1") for _ in range(100)]
    assert (told[0], told[-1]) == (False, True)
    assert not guard.is_refused(socket % b"Cookie: %s=good\r\n" % settings.SESSION_COOKIE_NAME.encode(), "127.0.0.1")
    assert not guard.is_refused(socket % b"", "127.0.0.2")


async def test_under_a_flood_unknown_tokens_are_looked_up_at_a_bounded_rate() -> None:
    guard, edge = _guard()
    _fill(edge.anonymous_gate)
    told = [guard.is_refused(HEAD % b"Authorization: Bearer crn_%d\r\n" % number, "127.0.0.1") for number in range(500)]
    assert 20 < told.count(False) < 100


async def test_valid_credentials_are_remembered_longer_than_forged_ones_and_the_used_ones_longest() -> None:
    known = _guard()[1].credentials
    known._validity.update({"good": True, "forged": False})
    known._validity.expire(time.monotonic() + credentials.INVALID_SECONDS + 1)
    assert dict(known._validity) == {"good": True}
    for number in range(credentials.MAX_CACHED + 10):
        known._validity[str(number)] = False
        assert known._validity.get("good")
    assert len(known._validity) == credentials.MAX_CACHED
    known._validity.expire(time.monotonic() + credentials.VALID_SECONDS + 1)
    assert not known._validity


async def test_clients_of_the_rate_are_forgotten() -> None:
    rate = RateLimit(1, 1)
    for number in range(MAX_CLIENTS + 10):
        rate.try_acquire(str(number))
    assert len(rate._left) == MAX_CLIENTS


async def test_a_server_without_descriptors_accepts_again_later(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "RETRY_SECONDS", 0.05)
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    real, failing = served.acceptor._listener, 2

    class Exhausted:
        def fileno(self) -> int:
            return real.fileno()

        def close(self) -> None:
            real.close()

        def accept(self) -> Any:
            nonlocal failing
            failing -= 1
            if failing >= 0:
                raise OSError(24, "Too many open files")
            return real.accept()

    served.acceptor._listener = cast(Any, Exhausted())
    assert b" 200 " in await _ask(served.port, HEAD % b"")
    assert len(complaints) == 2


async def test_a_server_that_is_told_to_end_leaves_no_listener(served: Served) -> None:
    served.acceptor.close()
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", served.port)


async def test_one_address_takes_no_connection_of_another() -> None:
    connections = ConnectionTable(4)
    transports: list[Any] = [Transport() for _ in range(8)]
    kept = connections.admit(transports[0], "192.0.2.1")
    for one in transports[1:]:
        assert connections.admit(one, "192.0.2.2")
    assert kept in connections.all
    assert [one.is_aborted for one in transports] == [False] + [True] * 4 + [False] * 3


async def test_a_client_that_sends_on_after_413_reads_its_answer(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(10):
        writer.write(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 413 ")
    writer.close()
