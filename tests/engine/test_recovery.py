"""A worker that is killed, stopped or frozen: its runs continue, end as expected, and start once."""

import hashlib
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest

from executor.failpoints import POINTS
from tests.engine.server import GATE, Server

# The script's first action is counted by a variable: the log cannot prove how often it began.
COUNTED = """
n="$(cronium_increment_variable started)"
echo "begun $n"
i=0
while {goes_on}; do i=$((i+1)); echo "line $i"; echo "error $i" >&2; sleep 0.1; done
echo "total $i"
cronium_increment_variable ended >/dev/null
"""
UNTIL_TOLD = COUNTED.format(goes_on="[ ! -e /tmp/gate ]")  # by `open_gate`
FIVE_LINES = COUNTED.format(goes_on="[ $i -lt 5 ]")


@contextmanager
def killed_at_the_end(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
        server.sweep()


@pytest.fixture
def mortal(new_server: Callable[..., Server]) -> Iterator[Server]:
    """A started server, which tests may kill."""
    with killed_at_the_end(new_server(CRONIUM_MAX_CONCURRENT="12", CRONIUM_CANARY="off").start()) as made:
        yield made


def counted(server: Server) -> tuple[str, str]:
    """Launches a job that counts its starts and writes until the test ends it; returns its slug and the run's id."""
    slug = server.job(UNTIL_TOLD, timeout_seconds=600)
    return slug, server.launch(slug)


def check_whole(server: Server, run_id: str) -> dict[str, Any]:
    """The run has succeeded, has every line once and in order within its stream, and the digest matches."""
    run, text = server.get(run_id), server.text(run_id)
    assert (run["status"], run["exit_code"]) == ("succeeded", 0), (run["status"], run["message"], text[-500:])
    said = text.decode().splitlines()
    (lines,) = (int(line.split()[1]) for line in said if line.startswith("total"))
    assert lines >= 2
    assert [line for line in said if line.startswith("line")] == [f"line {n}" for n in range(1, lines + 1)]
    assert [line for line in said if line.startswith("error")] == [f"error {n}" for n in range(1, lines + 1)]
    assert [line for line in said if line.startswith("begun")] == ["begun 1"]
    assert (run["log_lines"], run["log_digest"]) == (len(said), hashlib.sha256(text).hexdigest())
    return run


def variable(server: Server, slug: str, name: str) -> Any:
    answer = server.client.get(f"/variables/{slug}/{name}")
    return answer.json()["value"] if answer.status_code == 200 else 0


def test_ten_runs_outlive_a_server_that_is_killed_twice(mortal: Server) -> None:
    runs = [counted(mortal) for _ in range(10)]
    for _, run_id in runs:
        with mortal.watch(run_id) as watch:
            watch.until_line("line 2")
    for _ in range(2):
        mortal.stop(signal.SIGKILL)
        mortal.start()
        time.sleep(0.5)
    for slug, run_id in runs:
        mortal.open_gate(run_id)
        mortal.ended(run_id)
        check_whole(mortal, run_id)
        assert (variable(mortal, slug, "started"), variable(mortal, slug, "ended")) == (1, 1)
        assert mortal.kinds(run_id).count("adopted") >= 1
    mortal.until(lambda: mortal.left() == [], 60)


def test_a_stopped_server_hands_its_runs_over_and_does_not_wait_for_them(mortal: Server) -> None:
    _, run_id = counted(mortal)
    with mortal.watch(run_id) as watch:
        watch.until_line("line 2")
    began = time.monotonic()
    mortal.stop(signal.SIGTERM)
    assert time.monotonic() - began < 15  # within five seconds, where the machine has nothing else to do
    assert mortal.container(run_id)["State"]["Running"]
    mortal.start()
    mortal.open_gate(run_id)
    mortal.ended(run_id)
    check_whole(mortal, run_id)
    assert mortal.kinds(run_id) == ["queued", "claimed", "started", "released", "adopted", "succeeded"]


def test_a_secret_that_is_replaced_under_a_script_stops_nothing_and_stays_masked(mortal: Server) -> None:
    first, second = "the-first-value", "the-second-value"
    mortal.call("PUT", "/secrets/TOKEN", {"value": first})
    run_id = mortal.run(
        f'echo up; {GATE}; echo "has $TOKEN"; echo {second[:10]}{second[10:]}; echo done', secrets=["TOKEN"]
    )
    with mortal.watch(run_id) as watch:
        watch.until_line("up")
    mortal.call("PUT", "/secrets/TOKEN", {"description": "other words"})
    mortal.call("PUT", "/secrets/TOKEN", {"value": second})
    mortal.stop(signal.SIGKILL)
    mortal.start()
    mortal.until(lambda: "adopted" in mortal.kinds(run_id))
    mortal.open_gate(run_id)
    assert mortal.ended(run_id)["status"] == "succeeded"
    assert mortal.text(run_id) == b"up\nhas ***\n***\ndone\n"


def test_what_ended_while_nobody_watched_ended_as_it_did(mortal: Server) -> None:
    good = mortal.run(f"echo up; {GATE}; echo done; printf tail")
    bad = mortal.run(f"echo up; {GATE}; exit 3")
    for run_id in (good, bad):
        with mortal.watch(run_id) as watch:
            watch.until_line("up")
    mortal.stop(signal.SIGKILL)
    for run_id in (good, bad):
        mortal.open_gate(run_id)
        mortal.docker.wait(f"cronium-main-{run_id}")
    mortal.start()
    assert mortal.ended(good)["status"] == "succeeded"
    assert mortal.text(good) == b"up\ndone\ntail\n"
    ended = mortal.ended(bad)
    assert (ended["status"], ended["reason"], ended["exit_code"]) == ("failed", "exit_code", 3)


def test_cancel_and_the_time_limit_go_on_counting(mortal: Server) -> None:
    """An UPDATE brings a run near its limit of ten minutes, and requests the cancel of another run."""
    limited, cancelled, flagged = (mortal.run("echo up; exec sleep 900", timeout_seconds=600) for _ in range(3))
    for run_id in (limited, cancelled, flagged):
        with mortal.watch(run_id) as watch:
            watch.until_line("up")
    mortal.stop(signal.SIGKILL)
    with sqlite3.connect(mortal.folder / "cronium.sqlite3") as database:  # as another web process would
        wanted = [run_id.replace("-", "") for run_id in (flagged, limited)]
        database.execute("UPDATE runs_run SET cancel_requested_at = CURRENT_TIMESTAMP WHERE id = ?", wanted[:1])
        database.execute("UPDATE runs_run SET started_at = datetime('now', '-595 seconds') WHERE id = ?", wanted[1:])
    mortal.start()
    mortal.until(lambda: "adopted" in mortal.kinds(cancelled))
    mortal.cancel(cancelled)
    for run_id in (cancelled, flagged):
        assert mortal.ended(run_id)["status"] == "cancelled"
    ended = mortal.ended(limited)
    assert (ended["status"], ended["reason"]) == ("timed_out", "timeout")


def test_a_container_that_vanished_is_a_run_that_is_lost(mortal: Server) -> None:
    run_id = mortal.run("echo up; exec sleep 60")
    with mortal.watch(run_id) as watch:
        watch.until_line("up")
    mortal.stop(signal.SIGKILL)
    mortal.docker.remove_container(f"cronium-main-{run_id}", force=True)
    mortal.start()
    ended = mortal.ended(run_id)
    assert (ended["status"], ended["reason"]) == ("lost", "container_gone")
    assert mortal.text(run_id) == b"up\n"
    mortal.until(lambda: mortal.left() == [], 60)


def test_a_frozen_server_that_wakes_writes_nothing(new_server: Callable[..., Server]) -> None:
    """Another server took over meanwhile; the lines are stored once, and the run ends once."""
    with killed_at_the_end(new_server(CRONIUM_MAX_CONCURRENT="4").start()) as frozen:
        other = Server(frozen.folder, frozen.token)
        slug, run_id = counted(frozen)
        with frozen.watch(run_id) as watch:
            watch.until_line("line 2")
        assert frozen.process is not None
        with killed_at_the_end(other):
            frozen.process.send_signal(signal.SIGSTOP)
            other.start()
            other.until(lambda: "adopted" in other.kinds(run_id), 90)
            begun_lines = lines_of(other, run_id)
            frozen.process.send_signal(signal.SIGCONT)
            other.until(lambda: "is a standby" in frozen.log.read_text(), 60)
            other.until(lambda: lines_of(other, run_id) > begun_lines + 20, 60)
            other.open_gate(run_id)
            other.ended(run_id)
            check_whole(other, run_id)
            assert (variable(other, slug, "started"), variable(other, slug, "ended")) == (1, 1)
            assert other.kinds(run_id).count("succeeded") == 1


def lines_of(server: Server, run_id: str) -> int:
    """The number of stored lines."""
    with sqlite3.connect(server.folder / "cronium.sqlite3") as database:
        wanted = run_id.replace("-", "")
        return int(database.execute("SELECT lines FROM logs_loghead WHERE run_id = ?", (wanted,)).fetchone()[0])


@pytest.mark.parametrize("point", [one for one in POINTS if one not in ("stopping", "adopting", "adopted")])
def test_a_server_that_dies_at(new_server: Callable[..., Server], point: str) -> None:
    """At any failpoint, the next server brings the run to its end, and its script has begun at most once."""
    server = new_server(CRONIUM_MAX_CONCURRENT="2", CRONIUM_CRASH_AT=point)
    with killed_at_the_end(server.start()):
        slug = server.job(FIVE_LINES, timeout_seconds=90)
        with suppress(httpx.TransportError):  # it may die before it answers
            server.launch(slug, key="once")
        assert server.process is not None
        assert server.process.wait(60) == -signal.SIGKILL
        del server.env["CRONIUM_CRASH_AT"]
        server.start()
        run_id = server.launch(slug, key="once")
        run = server.ended(run_id)
        started = variable(server, slug, "started")
        if point in ("begun", "payload-half"):
            assert (run["status"], run["reason"], started) == ("errored", "not_delivered", 0), run["message"]
        else:
            assert "line 5" in server.text(run_id).decode()
            check_whole(server, run_id)
            assert (started, variable(server, slug, "ended")) == (1, 1)
        server.until(lambda: server.left() == [], 60)


@pytest.mark.parametrize("point", ["stopping", "adopting", "adopted"])
def test_a_server_that_dies_again_at(new_server: Callable[..., Server], point: str) -> None:
    """While it stops a run, or adopts one."""
    server = new_server(CRONIUM_MAX_CONCURRENT="2")
    with killed_at_the_end(server.start()):
        run_id = server.run("echo up; exec sleep 60")
        with server.watch(run_id) as watch:
            watch.until_line("up")
        server.stop(signal.SIGKILL)
        server.env["CRONIUM_CRASH_AT"] = point
        process = server.spawn("serve")
        if point == "stopping":
            server.until(lambda: _up(server), 60)
            with suppress(httpx.TransportError):  # it may die before it has answered
                server.cancel(run_id)
        assert process.wait(60) == -signal.SIGKILL
        del server.env["CRONIUM_CRASH_AT"]
        server.start()
        if point != "stopping":
            server.cancel(run_id)
        assert server.ended(run_id)["status"] == "cancelled"
        server.until(lambda: server.left() == [], 60)


def _up(server: Server) -> bool:
    with suppress(httpx.TransportError):
        return server.client.get("/health").status_code == 200
    return False


@pytest.mark.parametrize("point", ["stopping", "drained", "concluded"])
def test_a_run_at_its_time_limit_is_timed_out_wherever_its_server_dies(
    new_server: Callable[..., Server], point: str
) -> None:
    server = new_server(CRONIUM_MAX_CONCURRENT="2", CRONIUM_CRASH_AT=point)
    with killed_at_the_end(server.start()):
        run_id = server.run("echo up; exec sleep 60", timeout_seconds=3)
        assert server.process is not None
        assert server.process.wait(60) == -signal.SIGKILL
        del server.env["CRONIUM_CRASH_AT"]
        server.start()
        ended = server.ended(run_id)
        assert (ended["status"], ended["reason"]) == ("timed_out", "timeout")
        assert server.text(run_id) == b"up\n"
