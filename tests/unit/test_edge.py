"""The server's edge: what it refuses before Django sees it, who waits for whom, and which connection makes room."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import uvicorn
from asgiref.sync import sync_to_async

from cronium_admin.edge import bodies, credentials, protocol
from cronium_admin.edge.application import Edge, Streams
from cronium_admin.edge.bodies import MAX_BYTES
from cronium_admin.edge.connections import Connections, most_connections
from cronium_admin.edge.gate import Busy, Gate
from cronium_admin.edge.protocol import HttpProtocol, WebSocketProtocol
from cronium_admin.edge.server_log import LoopErrors, Rarely

pytestmark = pytest.mark.asyncio


async def test_a_slot_goes_to_the_clients_in_turn() -> None:
    gate, order = Gate(1, 10, 10, 5.0), []
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
    gate = Gate(1, 2, 1, 0.05)
    await gate.acquire("a")
    first = asyncio.create_task(gate.acquire("a"))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await gate.acquire("a")  # more than one of the same client
    with pytest.raises(Busy):
        await first
    gate.release()
    await gate.acquire("a")  # no slot was lost


async def test_a_client_that_leaves_while_it_waits_takes_no_slot() -> None:
    gate = Gate(1, 5, 5, 5.0)
    await gate.acquire("a")
    gone = asyncio.create_task(gate.acquire("b"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    gate.release()
    await gate.acquire("c")


class Told:
    """What an application was sent, and what it sends."""

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


def _edge(http: Any = _plain, requests: int = 2) -> Edge:
    return Edge(http, _plain, requests, 8, "1")


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
    monkeypatch.setitem(bodies.LARGER, "/upload/", 2 * MAX_BYTES)
    told = Told(_piece(MAX_BYTES), _piece(10, more=False))
    await _edge()(_scope("/upload/x"), told.receive, told.send)
    assert told.status == 200


async def test_packed_bodies_are_refused() -> None:
    told = Told(_piece(10, more=False))
    await _edge()(_scope(content_encoding="gzip"), told.receive, told.send)
    assert told.status == 415


async def test_a_body_that_does_not_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr("cronium_admin.edge.answers.LINGER_SECONDS", 0.01)
    told = Told(_piece(1))
    await _edge()(_scope(), told.receive, told.send)
    assert told.status == 408


async def test_the_sum_of_bodies_is_bounded_and_given_back() -> None:
    found = bodies.Bodies(max_in_flight=100)
    held = await found.read(_scope(), Told(_piece(80, more=False)).receive)
    with pytest.raises(bodies.Refusal) as refused:
        await found.read(_scope(), Told(_piece(30, more=False)).receive)
    assert refused.value.status == 503
    found.forget(len(held))
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
    await asyncio.sleep(0.1)
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
    streams = Streams(8)
    assert [streams.enter("a") for _ in range(3)] == [True, True, False]
    assert streams.enter("b")
    streams.leave("a")
    assert streams.enter("a")


class Transport:
    def __init__(self) -> None:
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


async def test_the_connection_that_a_stranger_keeps_idle_longest_makes_room() -> None:
    connections = Connections(3)
    transports: list[Any] = [Transport() for _ in range(5)]
    member, busy, idle = (connections.enter(one) for one in transports[:3])
    assert member
    assert busy
    assert idle
    member.begin()
    member.is_member = True
    member.end()
    busy.begin()
    assert connections.enter(transports[3])
    assert [one.is_aborted for one in transports] == [False, False, True, False, False]
    connections.idle.clear()
    assert connections.enter(transports[4]) is None


async def test_half_of_the_descriptors_stay_for_runs_and_database() -> None:
    assert most_connections(2000, 1024) == 512
    assert most_connections(2000, 65_536) == 2000


async def test_a_kind_of_complaint_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("cronium").propagate = True
    handler, loop = LoopErrors(), asyncio.get_running_loop()
    for _ in range(1000):
        handler(loop, {"message": "socket.accept() out of system resource", "exception": OSError(24, "too many")})
    handler(loop, {"message": "something else", "exception": ValueError("x")})
    assert len(caplog.records) == 2


async def test_what_strangers_cause_fills_no_log() -> None:
    rarely = Rarely()
    records = [logging.LogRecord("uvicorn.error", 30, "", 0, "Invalid HTTP request", (), None) for _ in range(100)]
    assert sum(rarely.filter(one) for one in records) == Rarely.MOST


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A real server with the edge's protocols."""
    edge = _edge()
    monkeypatch.setattr(HttpProtocol, "connections_of_server", Connections(50), raising=False)
    monkeypatch.setattr(HttpProtocol, "strangers", edge.strangers, raising=False)
    monkeypatch.setattr(HttpProtocol, "credentials", edge.credentials, raising=False)
    config = uvicorn.Config(edge, port=0, lifespan="off", http=HttpProtocol, ws=WebSocketProtocol, log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def _ask(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: a"])
async def test_a_head_that_does_not_end_is_closed(port: int, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    assert (await _ask(port, begun)).startswith(b"HTTP/1.1 408 ")


async def test_a_head_too_large_is_refused(port: int) -> None:
    assert b" 400 " in (await _ask(port, b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 20_000))[:30]


async def test_under_a_flood_a_stranger_is_refused_without_a_parser(port: int) -> None:
    for _ in range(HttpProtocol.strangers._max_waiting):
        HttpProtocol.strangers._waiting += 1
    head = b"GET /jobs/ HTTP/1.1\r\nHost: x\r\n%s\r\n"
    answer = await _ask(port, head % b"")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in answer
    known = HttpProtocol.credentials
    known._remembered[credentials._name("token", "good")] = True, time.monotonic() + 60
    known._asked.update((str(number), cast(Any, None)) for number in range(credentials.FLOOD_WAITING))
    forged = await _ask(port, head % b"Authorization: Bearer forged\r\n")
    assert forged.startswith(b"HTTP/1.1 503 ")
    assert b" 200 " in await _ask(port, head % b"AUTHORIZATION: bearer good\r\nConnection: close\r\n")
    assert b" 200 " in await _ask(port, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


async def test_a_client_that_sends_on_after_413_reads_its_answer(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(10):
        writer.write(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 413 ")
    writer.close()
