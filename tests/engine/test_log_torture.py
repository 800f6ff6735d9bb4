"""Many concurrent runs write logs, among them floods and binary data, and the server is killed every few seconds.

Every line is stored once and in order, every byte as written, and each seal is the digest of the downloaded text.
"""

import hashlib
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.engine.server import Server

# `make chaos` has a hundred runs and five kills: minutes in which no other test gets on.
RUNS = int(os.environ.get("CRONIUM_TEST_STORM_RUNS", "30"))
KILLS, EVERY = (5 if RUNS >= 100 else 3), 5.0
pytestmark = pytest.mark.timeout(1500)
# Prints numbered lines in bursts until the test ends it, then their number.
STEADY = """
trap 'over=1' USR1
n=0
until [[ $over ]]; do
  for i in {1..50}; do echo "line $((++n))"; done
  sleep 0.7
done
echo "total $n"
"""
# The other runs begin at the same moment.
WAIT = """
import os, random, sys, threading, time
while not os.path.exists("/tmp/gate"):
    time.sleep(0.1)
"""
MILLION = 1_000_000
# A million numbered lines on both streams at full speed.
FLOOD = WAIT + (
    f"HALF = {MILLION // 2}\n"
    + r"""
def write(stream, word):
    for at in range(0, HALF, 1000):
        stream.write("".join(f"{word} {n}\n" for n in range(at + 1, at + 1001)))
    stream.flush()
threads = [threading.Thread(target=write, args=pair) for pair in ((sys.stdout, "out"), (sys.stderr, "err"))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
)
SIZE = 8_000_000
# Random bytes in pieces around the engine's borders of 16 KiB, with pauses between: 18 s of them.
BINARY = f"""{WAIT}
rng, at = random.Random(7), 0
data = rng.randbytes({SIZE})
while at < len(data):
    size = rng.choice([1, 100, 16383, 16384, 16385, 32768, 70000])
    piece = data[at:at + size]
    at += len(piece)
    while piece:
        piece = piece[os.write(1, piece):]
    time.sleep(0.05)
"""
SIZES = [16382, 16383, 16384, 16385, 32767, 32768, 32769] * 20
BORDERS = f"""{WAIT}
for size in {SIZES}:
    line = b"x" * size + b"\\n"
    for part in (line[:16384], line[16384:]):
        os.write(1, part)
        time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def storm(new_server: Callable[..., Server]) -> Iterator[tuple[Server, dict[str, list[str]]]]:
    """Runs all of them to their end; returns the ids by kind."""
    server = new_server(CRONIUM_MAX_CONCURRENT=str(RUNS)).start()
    try:
        yield server, _weather(server)
        server.stop()
        assert server.left() == []
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()
        server.sweep()


def _weather(server: Server) -> dict[str, list[str]]:
    """All runs are active at the first kill, and the steady runs still at the last."""
    bare = {"network": "none", "timeout_seconds": 900}  # no sidecar: a hundred of them take a machine's minute
    steady = server.job(STEADY, **bare)
    gated = {
        "flood": [server.run(FLOOD, "python", profile="large", **bare)],
        "binary": [server.run(BINARY, "python", **bare) for _ in range(2)],
        "borders": [server.run(BORDERS, "python", **bare)],
    }
    waiting = [run_id for kind in gated.values() for run_id in kind]
    ids = gated | {"steady": [server.launch(steady) for _ in range(RUNS - len(waiting))]}
    for run_id in waiting:
        with server.watch(run_id) as watch:
            watch.until_status("running", 300)
    for run_id in ids["steady"]:
        with server.watch(run_id) as watch:
            watch.until_line("line 1", 300)
    for run_id in waiting:
        server.open_gate(run_id)
    for _ in range(KILLS):
        server.stop(signal.SIGKILL)
        server.start()
        time.sleep(EVERY)
    for run_id in ids["steady"]:
        server.docker.kill(f"cronium-main-{run_id}", signal="SIGUSR1")
    for run_id in [one for kind in ids.values() for one in kind]:
        # Without its log: to receive a million lines takes as long as to store them.
        server.until(lambda run_id=run_id: server.get(run_id)["finished_at"], 300)  # type: ignore[misc]
        assert server.get(run_id)["status"] == "succeeded", server.get(run_id)["message"]
    return ids


def sealed_text(server: Server, run_id: str) -> bytes:
    """The logs.txt of a run that was adopted while it wrote; checks its seal."""
    text, run = server.text(run_id), server.get(run_id)
    assert "adopted" in server.kinds(run_id)
    assert run["log_digest"] == hashlib.sha256(text).hexdigest()
    assert (run["log_lines"], run["log_bytes"], run["log_gaps"]) == (text.count(b"\n"), len(text), 0)
    return text


def test_numbered_lines_come_once_and_in_order(storm: tuple[Server, dict[str, list[str]]]) -> None:
    server, ids = storm
    assert len(ids["steady"]) == RUNS - 4
    for run_id in ids["steady"]:
        *numbers, total = sealed_text(server, run_id).decode().splitlines()
        assert len(numbers) >= 50 * KILLS, "it hardly wrote while the server was killed"
        assert total == f"total {len(numbers)}"
        assert numbers == [f"line {n}" for n in range(1, len(numbers) + 1)]


def test_a_million_lines_on_both_streams_are_there_in_the_order_of_each(
    storm: tuple[Server, dict[str, list[str]]],
) -> None:
    server, ids = storm
    text = sealed_text(server, ids["flood"][0])
    assert text.count(b"\n") == MILLION
    for word in (b"out", b"err"):
        numbers = [int(n) for n in re.findall(rb"^%s (\d+)$" % word, text, re.MULTILINE)]
        assert numbers == list(range(1, MILLION // 2 + 1))


def test_bytes_that_are_no_text_come_as_they_were_written(storm: tuple[Server, dict[str, list[str]]]) -> None:
    server, ids = storm
    written = random.Random(7).randbytes(SIZE)
    for run_id in ids["binary"]:
        assert sealed_text(server, run_id) == written + b"\n" * (not written.endswith(b"\n"))


def test_lines_around_the_engines_borders_come_whole(storm: tuple[Server, dict[str, list[str]]]) -> None:
    server, ids = storm
    assert [len(line) for line in sealed_text(server, ids["borders"][0]).splitlines()] == SIZES
