"""A script tries to use up the machine: processes, memory, files, the log. Each script reaches only its own limit."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from executor.spec import MB
from tests.engine.hostile import probes
from tests.engine.server import Server

FORK_BOMB = "echo begun; b() { b | b & }; b; while :; do :; done"  # the loop needs no further process
MEMORY_BOMB = "held = []\nwhile True:\n    held.append(bytearray(4_000_000))"
ONE_LINE = "head -c 1G /dev/zero | tr '\\0' x"
BYTES = "printf 'a\\0b\\nc\\377\\376d\\n\\355\\240\\200\\n\\033]0;title\\007\\n\\342\\200\\256desrever\\nno end'"
Said = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def launched(server: Server, innocent: str) -> dict[str, str]:
    """All hostile runs that need no input of a test, started at once so that they also compete."""
    return {
        "processes": server.run(probes.read("processes"), "python"),
        "memory bomb": server.run(MEMORY_BOMB, "python", memory_mb=64),
        "flood": server.run(probes.read("flood"), "python"),
        "one line": server.run(ONE_LINE, "bash"),
        "bytes": server.run(BYTES, "bash"),
    }


def test_it_can_not_kill_its_sandbox_nor_fill_it_with_the_dead(server: Server, launched: dict[str, str]) -> None:
    """`kill -9 1`, three hundred orphans, as many zombies as possible, and `kill -9 -1`."""
    run = server.ended(launched["processes"])
    lines = server.text(launched["processes"]).decode().splitlines()
    got = json.loads(lines[0])
    assert got["orphans"] == 300
    assert got["zombies of process 1"] == 0
    assert 50 < got["zombies of mine"] < 100  # the profile's pids, less those that are not its own
    assert lines[1:] == ["still here"]
    assert run["status"] == "succeeded"


def test_a_fork_bomb_meets_its_limit(server: Server, innocent: str) -> None:
    run_id = server.run(FORK_BOMB, "bash", timeout_seconds=300)
    seen = [0]

    def has_gone_off() -> bool:
        seen.append(server.docker.stats(f"cronium-main-{run_id}", stream=False)["pids_stats"]["current"])
        return max(seen) > 50

    with server.watch(run_id) as watch:
        watch.until_line("begun")
        server.until(has_gone_off, 60)
        has_gone_off()
        server.cancel(run_id)
        watch.until_end()
    assert max(seen) <= 100  # and went no further
    assert server.get(run_id)["status"] == "cancelled"
    server.cleaned(run_id)


def test_a_memory_bomb_is_killed_and_named(server: Server, launched: dict[str, str]) -> None:
    run = server.ended(launched["memory bomb"])
    assert (run["status"], run["reason"]) == ("failed", "oom")
    server.cleaned(launched["memory bomb"])


@pytest.mark.parametrize(("folder", "most"), [("/workspace", 256), ("/tmp", 103), ("/dev/shm", 64)])
def test_a_flood_of_bytes_ends_at_its_bound(said: Said, launched: dict[str, str], folder: str, most: int) -> None:
    size, why = said(launched["flood"])[folder]
    assert most * MB * 0.8 < size <= most * MB
    assert why == "No space left on device"


@pytest.mark.parametrize("folder", ["/workspace", "/tmp"])
def test_a_flood_of_files_ends_at_its_bound(said: Said, launched: dict[str, str], folder: str) -> None:
    count, why = said(launched["flood"])["files in " + folder]
    assert 19_000 < count <= 20_000
    assert why == "No space left on device"


def test_a_line_of_a_gigabyte_is_cut_at_the_logs_limit(server: Server, launched: dict[str, str]) -> None:
    run = server.ended(launched["one line"])
    assert (run["status"], run["reason"]) == ("failed", "output_limit")
    assert 49 * MB < run["log_bytes"] <= 51 * MB


def test_bytes_that_are_no_text_are_kept_as_they_are(server: Server, launched: dict[str, str]) -> None:
    run = server.ended(launched["bytes"])
    assert (run["status"], run["log_lines"]) == ("succeeded", 6)
    expected = b"a\0b\nc\xff\xfed\n\xed\xa0\x80\n\x1b]0;title\x07\n\xe2\x80\xaedesrever\nno end"
    assert server.text(launched["bytes"]) in (expected, expected + b"\n")
    page = server.client.get(f"/runs/{launched['bytes']}/logs")
    assert page.headers["content-type"].startswith("application/json")
    assert [line["seq"] for line in page.json()["lines"]] == [1, 2, 3, 4, 5, 6]
    assert page.json()["lines"][1]["text"] == "c\ufffd\ufffdd"
    text = server.client.get(f"/runs/{launched['bytes']}/logs.txt")
    assert text.headers["content-type"].startswith("text/plain")
    assert text.headers["x-content-type-options"] == "nosniff"
