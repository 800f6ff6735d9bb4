"""Reading a container's log is interrupted and resumed at random moments: no byte is lost, duplicated or changed."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor import naming
from executor.docker.attachment import Attachment
from executor.docker.client import Engine
from executor.docker.errors import LogCut
from executor.output.resume import ResumedLog, StoredLog
from executor.output.source import AttachedSource, Source
from executor.output.stream import LineAssembler, follow_output
from executor.run import payload
from executor.sandbox import options
from executor.sandbox.subnets import SubnetPool
from executor.spec import MB, Batch, Cursor
from tests.fakes.contract import World

SIZES = (0, 1, 2, 70, 1000, 16_370, 16_383, 16_384, 16_385, 32_768, 40_000, 200_000)
# Numbered lines on both streams, long ones among them; `lines` and `pause` are put in.
WRITE = """
import random, sys, threading, time
def write(stream, seed):
    rng = random.Random(seed)
    for number in range({lines}):
        size = rng.choice({sizes}) if number % 50 == 0 else rng.randint(0, 120)
        stream.write(f"{{seed}} {{number}} ".encode() + bytes([97 + number % 26]) * size + b"\\n")
        if number % 100 == 0:
            stream.flush()
            time.sleep({pause})
    stream.write(b"the end of %d without a newline" % seed)
    stream.flush()
threads = [threading.Thread(target=write, args=pair) for pair in ((sys.stdout.buffer, 1), (sys.stderr.buffer, 2))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
ODD = r"""
import os
os.write(1, b"nul \0 bad \xff\xfe\r\n\n" + b"\xff" * 40_000 + b"\n" + "é".encode() * 20_000 + b"\n")
for size in (16383, 16384, 16385, 32767, 32768, 32769):
    os.write(2, b"x" * size + b"\n")
os.write(1, b"y" * 50_000)
"""


def wanted(stream: int, lines: int) -> bytes:
    rng, parts = random.Random(stream), []
    for number in range(lines):
        size = rng.choice(SIZES) if number % 50 == 0 else rng.randint(0, 120)
        parts.append(f"{stream} {number} ".encode() + bytes([97 + number % 26]) * size + b"\n")
    return b"".join([*parts, b"the end of %d without a newline\n" % stream])


@pytest.fixture(scope="module")
def world(runner_images: dict[str, str]) -> Iterator[World]:
    made = World(
        Engine(), runner_images["python"], "cronium/runtime-api:latest", SubnetPool(IPv4Network("10.215.1.0/24"))
    )
    yield made
    made.clear()


@contextmanager
def started(world: World, script: str, driver: str = "local", **changes: Any) -> Iterator[tuple[str, Attachment]]:
    """A container that runs `script`, attached before its start."""
    spec = world.spec(script=script, language="python", network="none", **changes)
    name = naming.name_main(spec.run_id)
    world.engine.create_container(name, options.build_main_container(spec, None, driver))
    output = world.engine.attach(name, stdin=False, output=True)
    stdin = world.engine.attach(name, stdin=True, output=False)
    world.engine.start(name)
    stdin.send(payload.build_payload(spec))
    stdin.close_write()
    stdin.close()
    try:
        yield name, output
    finally:
        output.close()
        world.engine.remove_container(name)


START = Cursor(), Cursor()


class Reader:
    """Follows a container and is interrupted repeatedly; keeps the stored output, as a store does."""

    def __init__(
        self, world: World, name: str, output: Attachment | None, stands: tuple[Cursor, Cursor] = START
    ) -> None:
        self._engine, self._name = world.engine, name
        self.text = {1: b"", 2: b""}
        self.stands = stands
        self.source: Source = AttachedSource(output) if output else ResumedLog(world.engine, name, StoredLog(*stands))
        self.gap = False

    def _store(self, batch: Batch) -> None:
        for part in batch.segments:
            self.text[part.stream] += part.text
        self.stands = batch.stdout, batch.stderr

    def read(self, leave_after: float | None = None) -> bool:
        """Returns whether the end was reached before `leave_after` seconds."""
        timer = threading.Timer(leave_after or 0, self.source.close)
        if leave_after is not None:
            timer.start()
        try:
            with suppress(LogCut):
                follow_output(self.source, self._store, LineAssembler(500 * MB, None, *self.stands), lambda: None)
                return True
            return False
        finally:
            timer.cancel()
            self.resume()

    def resume(self) -> None:
        self.gap = self.gap or getattr(self.source, "has_gap", False)
        self.source.close()
        self.source = ResumedLog(self._engine, self._name, StoredLog(*self.stands))


@pytest.mark.parametrize("driver", ["local", "json-file"])
@pytest.mark.parametrize("seed", [1, 2])
def test_left_at_random_moments_every_byte_comes_once(world: World, driver: str, seed: int) -> None:
    rng, lines = random.Random(seed), 6000
    with started(world, WRITE.format(lines=lines, sizes=SIZES, pause=0.05), driver) as (name, output):
        reader, left, longest = Reader(world, name, output), 0, 0.4
        while not reader.read(rng.uniform(0.0, longest)):
            left += 1
            longest *= 1.05  # a slow machine needs longer to find its place, and would never reach the end
        assert left >= 4
        for stream in (1, 2):
            assert reader.text[stream] == wanted(stream, lines)
        assert not reader.gap
        again = Reader(world, name, None)
        assert again.read()
        assert again.text == reader.text


def test_an_exited_container_is_read_from_any_place_to_its_last_byte(world: World) -> None:
    rng, lines = random.Random(5), 3000
    texts = {stream: wanted(stream, lines) for stream in (1, 2)}
    with started(world, WRITE.format(lines=lines, sizes=SIZES, pause=0)) as (name, output):
        assert Reader(world, name, output).read()
        world.settled(name)
        for _ in range(8):
            stored = [texts[stream][: rng.randint(0, len(texts[stream]))] for stream in (1, 2)]
            stdout, stderr = (Cursor(text.count(b"\n"), len(text)) for text in stored)
            reader = Reader(world, name, None, (stdout, stderr))
            assert reader.read()
            for stream, text in zip((1, 2), stored, strict=True):
                assert (text + reader.text[stream]).rstrip(b"\n") == texts[stream].rstrip(b"\n")
            assert not reader.gap


def test_odd_bytes_and_borders_come_as_the_attachment_gave_them(world: World) -> None:
    with started(world, ODD) as (name, output):
        attached, resumed = Reader(world, name, output), Reader(world, name, None)
        assert attached.read()
        assert resumed.read()
        assert resumed.text == attached.text
        assert b"\xff" * 40_000 in resumed.text[1]
        assert attached.stands[0] == resumed.stands[0] == Cursor(4, len(resumed.text[1]) - 1)
        for reader in (attached, resumed):  # the end of the last line on stderr was known to one of them only
            rest = Reader(world, name, None, reader.stands)
            assert rest.read()
            assert (rest.text, rest.gap) == ({1: b"", 2: b""}, False)


def test_a_quiet_container_says_nothing_until_it_does(world: World) -> None:
    with started(world, "import time; print('up', flush=True); time.sleep(60)") as (name, _):
        source = ResumedLog(world.engine, name, StoredLog())
        found = b""
        while not found:
            found += b"".join(data for _, data, _ in source.read(5) or [])
        assert found == b"up\n"
        assert source.read(0.2) is None
        threading.Timer(0.2, source.close).start()
        with pytest.raises(LogCut):
            source.read(30)
