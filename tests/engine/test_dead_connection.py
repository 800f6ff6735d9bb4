"""Connections to an engine that die without an error: runs end nevertheless."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Network

import pytest

from executor.docker.client import Engine
from executor.run.slot import Slot
from executor.sandbox.subnets import SubnetPool
from tests.fakes.contract import World
from tests.fakes.specs import Remembering

SCRIPT = "trap 'echo last; exit 143' TERM; echo up; while :; do sleep 0.1; done"


class Relay:
    """The engine's socket on a port of this machine."""

    def __init__(self) -> None:
        self._engine = os.environ.get("CRONIUM_DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
        self._dead: set[socket.socket] = set()
        self._streams: set[socket.socket] = set()
        self._all: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def kill_streams(self) -> None:
        """The open connections to containers transfer no more data, and get no end."""
        self._dead |= self._streams

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(self._engine)
                self._all += [client, engine]
                for pair in ((client, engine), (engine, client)):
                    threading.Thread(target=self._forward, args=(*pair, client), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                if source is client and b"/attach?" in block:
                    self._streams.add(client)
                if client not in self._dead:
                    target.sendall(block)
            if client not in self._dead:
                target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for one in (self._server, *self._all):
            one.close()


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay()
    yield made
    made.close()


@pytest.fixture
def world(relay: Relay, bash_image: str) -> Iterator[World]:
    pool = SubnetPool(IPv4Network("10.215.4.0/24"))
    made = World(Engine(relay.url), bash_image, "cronium/runtime-api:latest", pool)
    yield made
    made.clear()


@pytest.mark.parametrize("why", ["cancel", "timeout"])
def test_a_run_is_stopped_and_its_log_is_whole(
    world: World, relay: Relay, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.run.slot.STALL_SECONDS", 1.0)
    spec, told = world.spec(script=SCRIPT, timeout_seconds=300.0 if why == "cancel" else 5.0), Remembering()
    slot = Slot(world.engine, spec, told, world.pool, threading.Semaphore(2))
    thread = threading.Thread(target=slot.run, daemon=True)
    thread.start()
    told.wait_for_text(b"up")
    relay.kill_streams()
    if why == "cancel":
        slot.stop()
    thread.join(90)
    assert not thread.is_alive()
    assert told.result is not None
    expected = ("cancelled", "cancelled", 143) if why == "cancel" else ("timed_out", "timeout", 143)
    assert (told.result.status, told.result.reason, told.result.exit_code) == expected, told.result.message
    assert told.log() == b"up\nlast\n"
    assert told.events[-1] == "cleaned"
