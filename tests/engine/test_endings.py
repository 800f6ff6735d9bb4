"""The ways in which runs end, each with its own reason, and no object is left on the engine."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from tests.engine.server import Server


@dataclass
class Case:
    """A script, and its expected result."""

    script: str
    status: str
    reason: str
    code: int | None
    message: str
    job: dict[str, Any] = field(default_factory=dict)


FORKS = """
import os, time
made = []
try:
    while len(made) < 200:
        pid = os.fork()
        if not pid:
            time.sleep(30)
            os._exit(0)
        made.append(pid)
except BlockingIOError:
    print("refused after", len(made))
    raise SystemExit(9)
"""
CASES = {
    "succeeds": Case("echo fine", "succeeded", "exit_code", 0, "exited with code 0"),
    "fails": Case("exit 3", "failed", "exit_code", 3, "exited with code 3"),
    "not found": Case("no-such-command", "failed", "exit_code", 127, "command was not found"),
    "signal": Case("kill -SEGV $$", "failed", "exit_code", 139, "SIGSEGV"),
    "python raises": Case("raise SystemExit(4)", "failed", "exit_code", 4, "code 4", {"language": "python"}),
    "node throws": Case("process.exit(5)", "failed", "exit_code", 5, "code 5", {"language": "node"}),
    "time is over": Case("echo up; sleep 50", "timed_out", "timeout", None, "limit of 2 s", {"timeout_seconds": 2}),
    "too much memory": Case("x = b'x' * 600_000_000", "failed", "oom", 137, "512 MB", {"language": "python"}),
    "too many forks": Case(FORKS, "failed", "exit_code", 9, "code 9", {"language": "python"}),
    "missing image": Case(
        "echo no", "errored", "image_missing", None, "not on this host", {"image": "cronium/not-there:1"}
    ),
}


@pytest.fixture(scope="module")
def runs(server: Server) -> dict[str, dict[str, Any]]:
    """Runs all cases in parallel; returns the ended runs."""
    ids = {name: server.run(case.script, **({"language": "bash"} | case.job)) for name, case in CASES.items()}
    return {name: server.ended(run_id) for name, run_id in ids.items()}


@pytest.mark.parametrize("name", list(CASES))
def test_the_end_says_what_happened(server: Server, runs: dict[str, dict[str, Any]], name: str) -> None:
    case, run = CASES[name], runs[name]
    assert (run["status"], run["reason"]) == (case.status, case.reason), run["message"]
    assert case.message in run["message"]
    if case.code is not None or case.status == "errored":
        assert run["exit_code"] == case.code
    server.cleaned(run["id"])


def test_forks_are_refused_over_the_profiles_number(server: Server, runs: dict[str, dict[str, Any]]) -> None:
    said = server.text(runs["too many forks"]["id"]).decode()
    assert said.startswith("refused after ")
    assert 80 <= int(said.split()[-1]) < 100


def test_the_time_limit_counts_from_the_start_of_the_script(runs: dict[str, dict[str, Any]]) -> None:
    run = runs["time is over"]
    lasted = datetime.fromisoformat(run["finished_at"]) - datetime.fromisoformat(run["started_at"])
    assert 2.0 <= lasted.total_seconds() < 20.0


def test_a_child_killed_for_memory_is_told_though_the_script_ends_well(server: Server) -> None:
    script = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', \"x = b'x' * 600_000_000\"])"
    run = server.ended(server.run(script, "python"))
    assert (run["status"], run["reason"], run["exit_code"]) == ("failed", "oom", 0)
    assert "exited with 0" in run["message"]


@pytest.mark.parametrize(("trap", "least", "most"), [("echo bye; exit 0", 0.0, 9.0), ("", 9.0, 30.0)])
def test_cancel_stops_the_container_before_it_says_so(server: Server, trap: str, least: float, most: float) -> None:
    """A script that obeys SIGTERM, and a script that ignores it and is killed after ten seconds."""
    run_id = server.run(f"trap '{trap}' TERM; echo up; while :; do sleep 0.1; done")
    with server.watch(run_id) as watch:
        watch.until_line("up")
        began = time.monotonic()
        asked = server.cancel(run_id)
        assert asked["status"] == "running"
        watch.until_end()
        took = time.monotonic() - began
    containers = server.docker.containers(filters={"name": f"cronium-main-{run_id}"})
    assert containers == [], "it says cancelled while the container runs"
    assert least <= took < most
    run = server.get(run_id)
    assert (run["status"], run["reason"]) == ("cancelled", "cancelled")
    assert (b"bye" in server.text(run_id)) == bool(trap)
    server.cleaned(run_id)
    assert server.call("POST", f"/runs/{run_id}/cancel", None, 409)["code"] == "already_ended"


def test_cancel_while_the_sandbox_is_built(server: Server) -> None:
    """Each at a different moment: no container runs once the status is cancelled."""
    ids = [server.run("sleep 30") for _ in range(6)]
    for number, run_id in enumerate(ids):
        with server.watch(run_id) as watch:
            watch.until(lambda seen: seen.statuses and seen.statuses[-1]["status"] != "queued")
            time.sleep(0.12 * number)  # no event marks the inner steps
            server.cancel(run_id)
            watch.until_end()
        assert server.docker.containers(filters={"name": f"cronium-main-{run_id}"}) == []
        run = server.get(run_id)
        assert (run["status"], run["reason"]) == ("cancelled", "cancelled"), run["message"]
    for run_id in ids:
        server.cleaned(run_id)


@pytest.mark.parametrize("language", ["bash", "python", "node"])
def test_an_image_without_the_interpreter_says_so(server: Server, language: str) -> None:
    image = next(one for one in ("cronium/base:debian", "cronium/base:alpine") if server.docker.images(one))
    run = server.ended(server.run("1", language, image=image))
    assert run["status"] == "failed"
    assert run["exit_code"] in (1, 127)
    server.cleaned(run["id"])


def test_a_flood_ends_at_the_limit_of_the_log(serve: Any) -> None:
    server = serve(CRONIUM_LOG_LIMIT_MB="1")
    run = server.ended(server.run("yes 'a line of a flood'"))
    assert (run["status"], run["reason"]) == ("failed", "output_limit")
    assert "1 MB" in run["message"]
    text = server.text(run["id"])
    assert 1024 * 1024 <= len(text) <= 1024 * 1024 + 1
    assert run["log_bytes"] == len(text)
    server.cleaned(run["id"])
