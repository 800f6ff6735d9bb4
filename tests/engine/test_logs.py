"""The log from end to end: complete, in order, and the same by every way of reading."""

import hashlib
import time
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.engine.server import GATE, Server, manage

BOTH = """
import sys, threading
def write(stream, word):
    for at in range(0, 100_000, 100):
        stream.write("".join(f"{word} {n}\\n" for n in range(at + 1, at + 101)))
    stream.flush()
threads = [threading.Thread(target=write, args=pair) for pair in ((sys.stdout, "out"), (sys.stderr, "err"))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
TORTURE = r"""
printf 'one\n\n\ttabs\n'
printf 'progress 1\rprogress 2\r\n'
printf 'nul \000 bad \377\376\n'
printf '%16383s\n%16384s\n%16385s\n' a b c
printf '<script>alert(1)</script>\033[31mred\033[0m\n'
printf 'no newline at the end'
"""


def test_two_hundred_thousand_lines_are_complete_and_in_order(server: Server) -> None:
    run_id = server.run(BOTH, "python", profile="large")
    with server.watch(run_id) as watch:
        end = watch.until_end(120)
    text = server.text(run_id)
    lines = text.decode().splitlines()
    for word in ("out", "err"):
        assert [line for line in lines if line.startswith(word)] == [f"{word} {n}" for n in range(1, 100_001)]
    assert len(lines) == 200_000
    run = server.get(run_id)
    digest = hashlib.sha256(text).hexdigest()
    assert run["log_digest"] == end["digest"] == digest
    assert (run["log_lines"], end["lines"], run["log_bytes"]) == (200_000, 200_000, len(text))
    assert [line[0] for line in watch.lines] == list(range(1, 200_001))
    assert [line[3] for line in watch.lines] == lines
    streams = {line[3][:3]: line[2] for line in watch.lines}
    assert streams == {"out": "stdout", "err": "stderr"}
    window = server.call("GET", f"/runs/{run_id}/logs?after=123456&limit=3")["lines"]
    assert [(line["seq"], line["text"]) for line in window] == [(n, lines[n - 1]) for n in (123457, 123458, 123459)]


def test_odd_bytes_come_through_exactly(server: Server) -> None:
    run = server.ended(server.run(TORTURE))
    expected = b"one\n\n\ttabs\nprogress 1\rprogress 2\r\nnul \x00 bad \xff\xfe\n"
    expected += b"".join(
        b" " * (size - 1) + letter + b"\n" for size, letter in ((16383, b"a"), (16384, b"b"), (16385, b"c"))
    )
    expected += b"<script>alert(1)</script>\x1b[31mred\x1b[0m\nno newline at the end\n"
    assert server.text(run["id"]) == expected
    assert run["log_digest"] == hashlib.sha256(expected).hexdigest()


def test_lines_arrive_while_the_script_works_and_late_viewers_see_the_same(server: Server) -> None:
    """The script continues after its first line was received, and again after its prompt, an unfinished line."""
    wait = "until [ -e /tmp/{} ]; do sleep 0.1; done"
    rest = f"for n in 2 3 4 5; do echo line $n; done; printf 'Name: '; {wait.format('prompted')}; echo Ada"
    run_id = server.run(f"echo line 1; {wait.format('seen')}; {rest}")
    with server.watch(run_id) as early:
        early.until_line("line 1")
        assert server.get(run_id)["status"] == "running"
        with server.watch(run_id) as late, server.watch(run_id, after=1) as resumed:
            seen_ns = time.time_ns()
            server.open_gate(run_id, "seen")
            early.until(lambda watch: [["stdout", "Name: "]] in watch.partial)
            server.open_gate(run_id, "prompted")
            for watch in (early, late, resumed):
                assert watch.until_end()["lines"] == 6
    with server.watch(run_id) as after:
        after.until_end()
    assert early.lines == late.lines == after.lines
    assert resumed.lines == early.lines[1:]
    assert [line[3] for line in early.lines] == [*(f"line {n}" for n in range(1, 6)), "Name: Ada"]
    assert [status["status"] for status in early.statuses][-2:] == ["running", "succeeded"]
    stamps = [line[1] for line in early.lines]
    assert stamps == sorted(stamps)
    assert stamps[0] < seen_ns < stamps[1], "a line's time is when it came"


def test_a_viewer_that_is_cut_off_again_and_again_misses_nothing(server: Server) -> None:
    run_id = server.run("for n in $(seq 1 300); do echo line $n; sleep 0.005; done")
    seen: list[Any] = []
    for count in range(200):
        with server.watch(run_id, after=len(seen)) as watch:
            watch.until(lambda one, count=count: one.end or len(one.lines) >= 1 + count % 40)
            seen += watch.lines
            if watch.end:
                break
    assert [line[0] for line in seen] == list(range(1, 301))
    assert [line[3] for line in seen] == [f"line {n}" for n in range(1, 301)]


@pytest.mark.parametrize("case", ["no session", "wrong token", "revoked token", "another site", "unknown run"])
def test_a_real_socket_is_refused_with_4403(server: Server, case: str) -> None:
    run_id = server.run("echo secret")
    server.ended(run_id)
    headers = {"Authorization": f"Bearer {server.token}"}
    if case == "no session":
        headers = {}
    elif case == "wrong token":
        headers = {"Authorization": "Bearer crn_wrong"}
    elif case == "another site":
        headers |= {"Origin": "http://evil.test"}
    elif case == "revoked token":
        token = manage(server.env, "token", "create", "--user", "admin", "--name", "short").strip()
        manage(server.env, "token", "revoke", token)
        headers = {"Authorization": f"Bearer {token}"}
    shown = "00000000-0000-4000-8000-000000000000" if case == "unknown run" else run_id
    with connect(f"ws://127.0.0.1:{server.port}/ws/runs/{shown}/logs", additional_headers=headers) as socket:
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4403


def test_a_socket_ends_with_1000(server: Server) -> None:
    run_id = server.run("echo fine")
    with server.watch(run_id) as watch:
        watch.until_end()
        with pytest.raises(ConnectionClosed) as caught:
            watch.socket.recv(10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1000


def test_a_flood_beside_it_delays_another_run_little(server: Server) -> None:
    """The flood continues all the time: it reaches its limit only after minutes."""
    alone = seconds_of_a_calm_run(server)
    flood = server.run("yes flood >&2", log_limit_mb=1000, timeout_seconds=600)
    with server.watch(flood) as watch:
        watch.until_line("flood")
    beside = seconds_of_a_calm_run(server)
    assert server.get(flood)["status"] == "running"
    server.cancel(flood)
    with server.watch(flood, after=10**9) as watch:  # a million lines would take a while
        assert watch.until_end()["status"] == "cancelled"
    assert beside < 10 + 5 * alone, f"{alone:.1f} s alone"


def seconds_of_a_calm_run(server: Server) -> float:
    """From launch to end."""
    began = time.monotonic()
    calm = server.ended(server.run("echo calm"), 300)
    took = time.monotonic() - began
    assert (calm["status"], server.text(calm["id"])) == ("succeeded", b"calm\n")
    return took


def test_viewers_that_do_not_read_cost_little_and_hold_up_nobody(real_server: Server) -> None:
    """40 MB at full speed: six sockets whose clients do not read, and one whose client reads."""
    server = real_server
    assert server.process is not None
    script = GATE + "; yes 'a line of a flood that is not so very short' | head -c 40000000"
    run_id = server.run(script, profile="large")
    address = f"ws://127.0.0.1:{server.port}/ws/runs/{run_id}/logs"
    headers = {"Authorization": f"Bearer {server.token}"}
    with ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(connect(address, additional_headers=headers, ping_interval=None, close_timeout=0.1))
        before = psutil.Process(server.process.pid).memory_info().rss
        with server.watch(run_id) as reader:
            reader.until_status("running")
            server.open_gate(run_id)
            end = reader.until_end(120)
        assert end["lines"] == len(reader.lines) == server.get(run_id)["log_lines"]
        assert psutil.Process(server.process.pid).memory_info().rss - before < 200e6
