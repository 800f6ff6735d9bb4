"""The sidecar's HTTP and control channel, in this process over loopback; no engine."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "images" / "runtime-api"
sys.path.insert(0, str(SOURCES))

from sidecar.api import MAX_DEPTH, Api  # noqa: E402
from sidecar.config import ConfigError, parse_config  # noqa: E402
from sidecar.control import Channel  # noqa: E402
from sidecar.http import Bounds, Server  # noqa: E402
from sidecar.main import LISTEN, StartError, read_line  # noqa: E402

RUN, TOKEN = "11111111-2222-3333-4444-555555555555", "the.run.token"
AUTH = f"Authorization: Bearer {TOKEN}\r\n"
CONTEXT = {"job": "héllo", "attempt": 0, "empty": "", "off": False, "parent": None}
MIB = 1024 * 1024


def config_line(**changes: Any) -> bytes:
    raw = {
        "run_id": RUN,
        "token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "token_expires_at": time.time() + 60,
        "context": CONTEXT,
        "input": {"n": 0, "text": "é\n"},
        **changes,
    }
    return json.dumps(raw).encode()


@dataclass
class Worker:
    """The other end of the control channel: records requests and answers with `answer` (None: no answer)."""

    reader: asyncio.StreamReader
    answer: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda _: {"ok": True, "data": None}
    asked: list[dict[str, Any]] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        assert data.endswith(b"\n")
        assert data.count(b"\n") == 1, "one object a line"
        message = json.loads(data)
        self.asked.append(message)
        answer = self.answer(message)
        if answer is not None:
            self.reader.feed_data(json.dumps({"id": message["id"], **answer}).encode() + b"\n")

    async def drain(self) -> None:
        pass


@dataclass
class Sidecar:
    """A running sidecar: its port, its worker."""

    port: int
    worker: Worker
    server: Server

    async def raw(self, data: bytes) -> bytes:
        """Sends bytes, and reads until the sidecar closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.transport.abort()

    async def ask(self, method: str, target: str, *, body: bytes | None = None, headers: str = AUTH) -> tuple[int, Any]:
        """Sends one request; returns status and parsed body."""
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {target} HTTP/1.1\r\nHost: runtime-api\r\nConnection: close\r\n{headers}{length}\r\n"
        return parse(await self.raw(head.encode() + (body or b"")))


def parse(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), answer[:200]
    return int(head.split()[1]), json.loads(body)


async def start(bounds: Bounds | None = None, answer_seconds: float = 5, **config: Any) -> Sidecar:
    reader = asyncio.StreamReader()
    worker = Worker(reader)
    channel = Channel(reader, worker, answer_seconds)
    listening = asyncio.create_task(channel.receive_answers())
    api = Api(channel)
    api.configure(parse_config(config_line(**config)))
    server = Server(api, bounds)
    listener = await server.start("127.0.0.1", 0)
    started = Sidecar(listener.sockets[0].getsockname()[1], worker, server)
    started.keep = (listening, listener)  # type: ignore[attr-defined]
    return started


@pytest.fixture
async def sidecar() -> AsyncIterator[Sidecar]:
    started = await start()
    yield started
    listening, listener = started.keep  # type: ignore[attr-defined]
    listening.cancel()
    listener.close()


def path(rest: str) -> str:
    return f"/executions/{RUN}/{rest}"


async def test_it_says_that_it_is_well_without_a_token(sidecar: Sidecar) -> None:
    assert await sidecar.ask("GET", "/health", headers="") == (200, {"success": True, "data": {"status": "ok"}})


@pytest.mark.parametrize("value", [0, False, "", None, [], {}, "é\u2028\n", {"n": [1, {"deep": None}]}])
async def test_it_serves_any_input_as_itself(value: Any) -> None:
    sidecar = await start(input=value)
    assert await sidecar.ask("GET", path("input")) == (200, {"success": True, "data": value})


async def test_it_serves_the_context_whole_and_by_field(sidecar: Sidecar) -> None:
    assert (await sidecar.ask("GET", path("context")))[1]["data"] == CONTEXT
    for name, value in CONTEXT.items():
        assert await sidecar.ask("GET", path(f"context?field={name}")) == (200, {"success": True, "data": value})
    status, body = await sidecar.ask("GET", path("context?field=nope"))
    assert (status, body["error"]) == (404, "NO_SUCH_FIELD")
    for query in ("field=a&field2=b", "x=1", "field=%ff", "field"):
        assert (await sidecar.ask("GET", path(f"context?{query}")))[0] == 400, query


async def test_it_gives_a_text_field_without_quotes_to_who_accepts_plain_text(sidecar: Sidecar) -> None:
    request = (
        f"GET {path('context?field=job')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: text/plain\r\n{AUTH}\r\n"
    )
    head, _, body = (await sidecar.raw(request.encode())).partition(b"\r\n\r\n")
    assert b"text/plain" in head
    assert body.decode() == "héllo"


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (b'{"output": false}', False),
        (b'{"output": {"output": 1}}', {"output": 1}),
        (b'{"answer": 42}', {"answer": 42}),
        (b'{"output": 1, "more": 2}', {"output": 1, "more": 2}),
        (b" [1,\r\n 2]\n", [1, 2]),
        (b"null", None),
        ('"\u00e9\\n"'.encode(), "\u00e9\n"),
    ],
)
async def test_it_passes_an_output_on_wrapped_or_bare(sidecar: Sidecar, sent: bytes, taken: Any) -> None:
    assert await sidecar.ask("POST", path("output"), body=sent) == (200, {"success": True, "data": None})
    assert sidecar.worker.asked[-1]["op"] == "output"
    assert sidecar.worker.asked[-1]["body"] == {"output": taken}


async def test_it_does_not_unwrap_what_is_marked_as_a_value(sidecar: Sidecar) -> None:
    headers = AUTH + "X-Cronium-Body: value\r\n"
    assert (await sidecar.ask("POST", path("output"), body=b'{"output": 1}', headers=headers))[0] == 200
    assert sidecar.worker.asked[-1]["body"] == {"output": {"output": 1}}


async def test_it_takes_a_chunked_body(sidecar: Sidecar) -> None:
    head = f"POST {path('output')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n"
    assert parse(await sidecar.raw(head.encode() + b"3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n"))[0] == 200
    assert sidecar.worker.asked[-1]["body"] == {"output": [1, 2]}


async def test_it_serves_several_requests_over_one_connection(sidecar: Sidecar) -> None:
    one = f"GET {path('input')} HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n"
    last = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await sidecar.raw((one + one + last).encode())
    assert answer.count(b"HTTP/1.1 200") == 3


@pytest.mark.parametrize(
    "headers",
    [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Bearer \r\n",
        f"Authorization: Basic {TOKEN}\r\n",
        f"Authorization: Bearer {TOKEN}x\r\n",
        f"Authorization: {TOKEN}\r\n",
    ],
)
async def test_it_refuses_who_has_no_token_of_this_run(sidecar: Sidecar, headers: str) -> None:
    for method, target in [("GET", path("input")), ("POST", path("output")), ("GET", "/nowhere")]:
        status, body = await sidecar.ask(method, target, headers=headers)
        assert (status, body["error"]) == (401, "UNAUTHORIZED")


async def test_it_refuses_an_expired_token() -> None:
    sidecar = await start(token_expires_at=time.time() - 1)
    status, body = await sidecar.ask("GET", path("input"))
    assert (status, body["error"]) == (401, "TOKEN_EXPIRED")


async def test_the_end_of_a_token_follows_no_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clocks of worker and machine may differ, and may be set while the script runs."""
    sidecar = await start(token_expires_at=time.time() - 3600, token_seconds=60)
    assert (await sidecar.ask("GET", path("input")))[0] == 200
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert (await sidecar.ask("GET", path("input")))[0] == 200
    over = await start(token_expires_at=now + 7200, token_seconds=0)
    assert (await over.ask("GET", path("input")))[1]["error"] == "TOKEN_EXPIRED"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/executions/66666666-2222-3333-4444-555555555555/input", 403),
        ("GET", path("input").replace("/executions", "//executions"), 404),
        ("GET", path("./input"), 404),
        ("GET", path("input/"), 404),
        ("GET", path("%69nput"), 404),
        ("GET", path("../x/input"), 404),
        ("GET", path("INPUT"), 404),
        ("POST", path("variables/x"), 405),
        ("DELETE", path("variables/x"), 405),
        ("DELETE", path("variables/x/increment"), 405),
        ("PUT", path("variables/x"), 411),
        ("GET", path("variables/x?y=1"), 400),
        ("GET", path("variables/"), 400),
        ("GET", path("variables/.."), 400),
        ("GET", path("variables/shared/."), 400),
        ("GET", path("variables/other/x"), 400),
        ("GET", path("variables//x"), 400),
        ("GET", path("variables/%78"), 400),
        ("GET", path("variables/shared%252Fx"), 400),
        ("GET", path("variables/" + "x" * 129), 400),
        ("POST", path("variables/a b/increment"), 400),
        ("GET", path("condition"), 405),
        ("POST", path("condition"), 411),
        ("GET", path("methods"), 404),
        ("GET", "/", 404),
        ("GET", "/health/", 404),
        ("GET", f"http://runtime-api:8081{path('input')}", 400),
        ("GET", "http://runtime-api:8081/health", 400),
        ("OPTIONS", "*", 400),
        ("CONNECT", "example.org:443", 400),
        ("POST", "/health", 405),
        ("DELETE", path("output"), 405),
        ("GET", path("output"), 405),
        ("POST", path("input"), 405),
        ("POST", path("output"), 411),
        ("GET", path("input?x=1"), 400),
    ],
)
async def test_it_matches_paths_and_methods_exactly(sidecar: Sidecar, method: str, target: str, status: int) -> None:
    got, body = await sidecar.ask(method, target)
    assert got == status, body
    assert set(body) == {"error", "message"}
    assert sidecar.worker.asked == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"NaN", b'{"a": Infinity}', b"\xff", b'"\x00"', b"1" * 5000, '"é"'.encode("utf-16")],
)
async def test_it_refuses_what_is_not_json(sidecar: Sidecar, body: bytes) -> None:
    status, answer = await sidecar.ask("POST", path("output"), body=body)
    assert (status, answer["error"]) == (400, "BAD_JSON")


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}")])
async def test_it_refuses_json_that_is_nested_too_deep(sidecar: Sidecar, depth: int, left: bytes, right: bytes) -> None:
    status, answer = await sidecar.ask("POST", path("output"), body=left * depth + b"1" + right * depth)
    assert (status, answer["error"]) == (400, "TOO_DEEP")
    body = left * MAX_DEPTH + b"1" + right * MAX_DEPTH
    assert (await sidecar.ask("POST", path("output"), body=body))[0] == 200


async def test_it_takes_five_mib_and_refuses_more_by_its_length_alone(sidecar: Sidecar) -> None:
    body = b'"' + b"x" * (5 * MIB - 2) + b'"'
    assert (await sidecar.ask("POST", path("output"), body=body))[0] == 200
    head = f"POST {path('output')} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: {5 * MIB + 1}\r\n\r\n"
    assert parse(await sidecar.raw(head.encode()))[0] == 413  # not a byte of the body was sent


async def test_it_refuses_a_chunked_body_once_it_is_too_large(sidecar: Sidecar) -> None:
    head = f"POST {path('output')} HTTP/1.1\r\nHost: x\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b" " * MIB + b"\r\n"
    assert parse(await sidecar.raw(head.encode() + chunk * 6))[0] == 413
    assert sidecar.server.pending_bytes == 0


async def test_it_refuses_huge_headers(sidecar: Sidecar) -> None:
    status, _ = await sidecar.ask("GET", "/health", headers="X-Large: " + "x" * 70_000 + "\r\n")
    assert status in (400, 431)


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00garbage\r\n\r\n", b"GET /health\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n"]
)
async def test_it_answers_400_to_what_is_no_http(sidecar: Sidecar, data: bytes) -> None:
    assert parse(await sidecar.raw(data))[0] == 400


async def test_it_ends_a_request_that_trickles_in() -> None:
    sidecar = await start(Bounds(request_seconds=0.2, linger_seconds=0.1))
    assert parse(await sidecar.raw(b"GET /health HTTP/1.1\r\nHost:"))[0] == 408
    head = f"POST {path('output')} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 10\r\n\r\n[1"
    assert parse(await sidecar.raw(head.encode()))[0] == 408
    assert await sidecar.raw(b"") == b""  # an idle connection is closed without a message
    assert (await sidecar.ask("GET", "/health"))[0] == 200


async def test_it_refuses_one_connection_too_many_and_recovers() -> None:
    sidecar = await start(Bounds(connections=2))
    idle = [await asyncio.open_connection("127.0.0.1", sidecar.port) for _ in range(2)]
    for reader, writer in idle:  # an answer proves that the connection is counted
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"}}")
    assert (await sidecar.ask("GET", "/health"))[0] == 429
    for reader, writer in idle:
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()
    while (await sidecar.ask("GET", "/health"))[0] == 429:
        await asyncio.sleep(0)
    assert (await sidecar.ask("GET", "/health"))[0] == 200


async def test_it_bounds_the_bodies_of_all_connections_together() -> None:
    sidecar = await start(Bounds(pending_bytes=1000))
    reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    head = f"POST {path('output')} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 900\r\nExpect: 100-continue\r\n\r\n"
    writer.write(head.encode())
    assert b"100" in await reader.readuntil(b"\r\n\r\n")
    writer.write(b'"' + b"x" * 890)
    while sidecar.server.pending_bytes < 891:
        await asyncio.sleep(0)
    status, answer = await sidecar.ask("POST", path("output"), body=b" " * 500 + b"1")
    assert (status, answer["error"]) == (429, "TOO_BUSY")
    writer.close()


async def test_it_passes_a_refusal_of_the_worker_on(sidecar: Sidecar) -> None:
    sidecar.worker.answer = lambda _: {"ok": False, "status": 403, "error": "RUN_ENDED", "message": "Too late."}
    assert await sidecar.ask("POST", path("output"), body=b"1") == (403, {"error": "RUN_ENDED", "message": "Too late."})


async def test_it_says_502_when_the_worker_is_silent_or_gone() -> None:
    sidecar = await start(answer_seconds=0.1)
    sidecar.worker.answer = lambda _: None
    status, answer = await sidecar.ask("POST", path("output"), body=b"1")
    assert (status, answer["error"]) == (502, "BACKEND_UNAVAILABLE")
    waiting = asyncio.create_task(sidecar.ask("POST", path("output"), body=b"2"))
    sidecar.worker.reader.feed_eof()
    assert (await waiting)[0] == 502
    assert (await sidecar.ask("POST", path("output"), body=b"3"))[0] == 502
    assert (await sidecar.ask("GET", path("input")))[0] == 200  # it still serves the data that it has


async def test_answers_find_their_requests_in_any_order(sidecar: Sidecar) -> None:
    sidecar.worker.answer = lambda _: None
    waiting = [asyncio.create_task(sidecar.ask("POST", path("output"), body=str(n).encode())) for n in range(5)]
    while len(sidecar.worker.asked) < 5:
        await asyncio.sleep(0)
    feed = sidecar.worker.reader.feed_data
    feed(b"not json\n[]\n" + b'{"id": 999, "ok": true}\n')  # noise changes nothing
    for message in reversed(sidecar.worker.asked):
        feed(json.dumps({"id": message["id"], "ok": True, "data": message["body"]["output"]}).encode() + b"\n")
    assert [(await task)[1]["data"] for task in waiting] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"[]",
        b"{}",
        config_line(run_id="../x"),
        config_line(token_sha256="abc"),
        config_line(token_expires_at="soon"),
        config_line(token_expires_at=True),
        config_line(token_seconds="soon"),
        config_line(token_seconds=True),
        config_line(context=[]),
        config_line(egress=[]),
        config_line(egress={"address": "127.0.0.9", "allow": ["a.example:80"]}),
        config_line(egress={"address": "127.0.0.9", "allow": [1], "networks": []}),
        config_line(egress={"address": None, "allow": [], "networks": []}),
        b"[" * 100_000,
    ],
)
def test_it_refuses_a_first_line_that_is_no_configuration(line: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_config(line)


WAY_OUT = {"address": "127.0.0.9", "allow": [], "networks": []}


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"garbage\n", config_line()[:-5]),
        config_line(egress=WAY_OUT | {"allow": ["no pattern"]}) + b"\n",
        config_line(egress=WAY_OUT | {"networks": ["no subnet"]}) + b"\n",
        config_line(egress=WAY_OUT | {"address": "192.0.2.77"}) + b"\n",  # an address that it does not have
    ],
)
def test_the_program_says_why_it_does_not_start(line: bytes) -> None:
    done = subprocess.run([sys.executable, str(SOURCES / "boot.py")], input=line, capture_output=True, timeout=20)
    assert done.returncode == 1
    assert done.stdout == b'{"type": "loaded"}\n'
    assert done.stderr.startswith(b"runtime-api: ")
    assert b"Traceback" not in done.stderr


def test_the_program_says_that_it_is_loaded_before_it_gets_a_configuration() -> None:
    with subprocess.Popen(
        [sys.executable, str(SOURCES / "boot.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b'{"type": "loaded"}\n'
        _, errors = process.communicate(b"", 20)  # the end of its input instead of a configuration
        assert process.returncode == 1
        assert b"standard input ended before the configuration" in errors


@contextmanager
def waiting_program() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A sidecar that listens before its configuration, and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"import asyncio; from sidecar.main import *; asyncio.run(run_sidecar('localhost', '127.0.0.1', {port}))"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=SOURCES, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b'{"type": "loaded"}\n'
            process.stdin.write(LISTEN)
            process.stdin.flush()
            assert process.stdout.readline() == b'{"type": "listening"}\n'
            yield process, port
        finally:
            process.kill()


def fetch(port: int, path: str, token: str = TOKEN) -> tuple[int, Any]:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        client.sendall(head.encode())
        return parse(b"".join(iter(lambda: client.recv(65536), b"")))


def test_a_program_that_waits_for_a_run_listens_and_serves_nothing() -> None:
    with waiting_program() as (process, port):
        assert fetch(port, "/health")[0] == 200
        for path in (f"/executions/{RUN}/input", f"/executions/{RUN}/variables/x", "/elsewhere"):
            for token in (TOKEN, ""):
                status, answer = fetch(port, path, token)
                assert (status, answer["error"]) == (503, "NOT_READY")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(config_line() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b'{"type": "ready"}\n'
        assert fetch(port, f"/executions/{RUN}/input")[0] == 200
        assert fetch(port, f"/executions/{RUN}/input", "another")[0] == 401


def test_a_program_that_listens_already_refuses_egress() -> None:
    with waiting_program() as (process, _):
        _, errors = process.communicate(config_line(egress=WAY_OUT) + b"\n", 20)
        assert process.returncode == 1
        assert b"must not listen before its configuration" in errors


async def test_it_does_not_wait_for_ever_for_its_configuration() -> None:
    with pytest.raises(StartError, match="no configuration came within"):
        await read_line(asyncio.StreamReader(), 0.01)


def catches_term(pid: int) -> bool:
    """Whether the process has a handler for SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> 14 & 1)


def test_the_program_ends_at_once_on_term() -> None:
    with subprocess.Popen(
        [sys.executable, str(SOURCES / "boot.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        while not catches_term(process.pid):  # before that, TERM ends any program, and proves less
            assert process.poll() is None
        process.terminate()
        assert process.wait(2) == 0
