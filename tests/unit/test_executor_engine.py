"""`Engine` with rare answers of an engine, which a small HTTP server gives."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from executor.docker import connection
from executor.docker.client import Engine
from executor.docker.errors import Conflict

STATE = {"Status": "removing", "ExitCode": 137, "OOMKilled": False, "StartedAt": "0001-", "FinishedAt": "0001-"}


class Answers:
    """The state of the fake engine, and its answers."""

    def __init__(self) -> None:
        self.version, self.api, self.oldest_api = "20.10.24", "1.41", "1.24"
        self.created = "2026-01-01T00:00:00Z"  # its bridge
        self.info: dict[str, Any] = {}
        self.is_there = True  # the container that is being removed
        self.leaves_on_wait = False

    def of(self, method: str, path: str) -> tuple[int, Any]:
        if method == "DELETE" and path.startswith("/containers/"):
            return 409, {"message": "removal of container x is already in progress"}
        if path.endswith("/wait"):
            self.is_there = self.is_there and not self.leaves_on_wait
            return 200, {"StatusCode": 0}
        if path.startswith("/containers/"):
            told = {"Id": "x", "State": STATE, "Config": {"Labels": {}}, "Image": ""}
            return (200, told) if self.is_there else (404, {"message": "No such container: x"})
        return 200, {
            "/_ping": "OK",
            "/version": {"ApiVersion": self.api, "Version": self.version},
            "/info": {"ServerVersion": self.version, **self.info},
            "/networks/bridge": {"Created": self.created},
        }[path]


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def engine(answers: Answers) -> Iterator[Engine]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None: ...

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, asked = urlsplit(self.path).path, ""
            if path.startswith("/v1."):
                asked, _, path = path[2:].partition("/")
                path = "/" + path
            if asked and int(asked.split(".")[1]) < int(answers.oldest_api.split(".")[1]):
                status, told = 400, {"message": f"client version {asked} is too old"}
            else:
                status, told = answers.of(self.command, path)
            body = json.dumps(told).encode() if isinstance(told, dict) else told.encode()
            self.send_response(status)
            self.send_header("Api-Version", answers.api)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Engine(f"tcp://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


def test_a_removal_under_way_is_waited_for(engine: Engine, answers: Answers) -> None:
    answers.leaves_on_wait = True
    engine.remove_container("x")


def test_a_removal_that_does_not_end_is_none(engine: Engine, answers: Answers) -> None:
    with pytest.raises(Conflict, match="already in progress"):
        engine.remove_container("x")


def test_an_engine_that_is_upgraded_under_us_is_asked_again(engine: Engine, answers: Answers) -> None:
    """The new engine refuses the API version of the old one."""
    engine.ping()
    assert engine.version == "20.10.24"
    answers.version, answers.api, answers.oldest_api = "29.0.0", "1.52", "1.44"
    engine.ping()
    assert engine.version == "29.0.0"
    assert engine.read_boot_time() > 0


def test_one_that_is_restarted_with_other_settings_too(engine: Engine, answers: Answers) -> None:
    engine.read_boot_time()
    assert engine.log_driver == "json-file"
    answers.info = {"Plugins": {"Log": ["local"]}}
    assert engine.log_driver == "json-file", "it is asked for each run"
    answers.created = "2026-01-02T00:00:00Z"
    engine.read_boot_time()
    assert engine.log_driver == "local"


def test_one_whose_containers_lived_on_is_known_after_its_host_has_asked(engine: Engine, answers: Answers) -> None:
    assert engine.version == "20.10.24"
    answers.version = "20.10.25"
    engine.read_resources()
    assert engine.version == "20.10.25"


def test_a_peer_that_vanished_is_noticed_over_tcp(engine: Engine) -> None:
    """By streams, which have no read timeout, and by the next control call."""
    stream = engine.open_log("x", follow=True)
    control: Any = engine._control_client
    answer = control._get(control._url("/_ping"), stream=True)
    for sock in (stream._socket, answer.raw.connection.sock):
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        kept = {option: sock.getsockopt(socket.IPPROTO_TCP, option) for option in connection.KEEPALIVE}
        assert kept == connection.KEEPALIVE
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    answer.close()
    stream.close()
