"""Web and worker as separate processes with PostgreSQL and Redis."""

import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.engine.scaled import Prepared, Scaled, installation, needs_services

pytestmark = needs_services


@pytest.fixture(scope="module")
def parts(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scaled]:
    """`web`, and one worker."""
    with installation(prepared, tmp_path_factory.mktemp("scaled"), 9) as made:
        made.start_worker("one")
        made.start("web")
        yield made


def test_lines_are_live_over_two_processes(parts: Scaled) -> None:
    """The script prints a line only after the previous one was received: with polling alone, each would take two
    seconds."""
    wait = "until [ -e /tmp/gate$n ]; do sleep 0.1; done"
    run_id = parts.run(f"for n in 1 2 3 4 5; do echo line $n; {wait}; done; cronium_output '[1]'")
    took = []
    with parts.watch(run_id) as watch:
        watch.until_line("line 1")
        assert parts.get(run_id)["status"] == "running"
        for n in range(1, 5):
            parts.open_gate(run_id, f"gate{n}")
            told_at = time.monotonic()
            watch.until_line(f"line {n + 1}")
            took.append(time.monotonic() - told_at)
        assert min(took) < 1.2, "the lines came by polling and not by notifications"
        assert httpx.get(f"{parts.url}/ready").json()["status"] == "ready"  # a viewer does not delay it
        parts.open_gate(run_id, "gate5")
        end = watch.until_end()
    assert [line[3] for line in watch.lines] == [f"line {n}" for n in range(1, 6)]
    run = parts.get(run_id)
    assert (run["status"], run["host"], run["output"], end["digest"]) == ("succeeded", "one", [1], run["log_digest"])
    parts.cleaned(run_id)


def test_cancel_reaches_the_worker(parts: Scaled) -> None:
    run_id = parts.run("echo up; sleep 60")
    with parts.watch(run_id) as watch:
        watch.until_line("up")
        began = time.monotonic()
        parts.cancel(run_id)
        assert watch.until_end()["status"] == "cancelled"
        assert time.monotonic() - began < 9.5  # before the script's ten seconds of grace are over
    parts.cleaned(run_id)


def test_several_runs_and_an_odd_log(parts: Scaled) -> None:
    ids = [parts.run(rf"printf 'a\000b\377\n{n}\n'; exit {n}") for n in range(6)]
    for number, run_id in enumerate(ids):
        run = parts.ended(run_id)
        assert run["exit_code"] == number
        assert parts.text(run_id) == b"a\x00b\xff\n%d\n" % number


INCREMENTS = {
    "bash": "for _ in $(seq 25); do cronium_increment_variable shared/hundred >/dev/null & done; wait",
    "python": """
import concurrent.futures, cronium
with concurrent.futures.ThreadPoolExecutor(25) as pool:
    list(pool.map(lambda _: cronium.increment_variable("shared/hundred"), range(25)))
""",
    "node": """
const cronium = require("cronium");
Promise.all(Array.from({ length: 25 }, () => cronium.incrementVariable("shared/hundred")));
""",
}


def test_a_hundred_increments_at_once_are_a_hundred_on_postgresql(parts: Scaled) -> None:
    """Four runs in three languages with 25 writers each; read by a fifth run and by the web process."""
    ids = [parts.run(INCREMENTS[language], language) for language in (*INCREMENTS, "python")]
    for run_id in ids:
        assert parts.ended(run_id)["status"] == "succeeded", parts.text(run_id).decode()
    reader = parts.ended(parts.run('cronium_output "$(cronium_get_variable shared/hundred)"'))
    assert reader["output"] == 100
    variable = parts.call("GET", "/variables/shared/hundred")
    assert (variable["value"], variable["version"]) == (100, 100)
    history = parts.call("GET", "/variables/shared/hundred/history")["items"]
    assert [int(change["value_text"]) for change in history] == list(range(100, 0, -1))
    assert {change["run"] for change in history} == set(ids)


def test_a_run_waits_while_no_worker_is_there(parts: Scaled) -> None:
    """The worker is stopped cleanly, a run is launched, and the next worker finds it."""
    assert parts.stop_worker("one") == 0
    run_id = parts.run("echo found")
    assert parts.get(run_id)["status"] == "queued"
    parts.start_worker("one")
    assert parts.ended(run_id)["status"] == "succeeded"


def test_a_killed_workers_runs_go_on_with_the_next(parts: Scaled) -> None:
    run_id = parts.run("echo up; sleep 600", timeout_seconds=900)
    with parts.watch(run_id) as watch:
        watch.until_line("up")
        parts.stop_worker("one", signal.SIGKILL)
        assert parts.get(run_id)["status"] == "running"
        parts.start_worker("one")
        parts.cancel(run_id)  # before or after it is taken over
        end = watch.until_end()
        assert end["status"] == "cancelled", (parts.get(run_id), parts.kinds(run_id))
    assert parts.text(run_id) == b"up\n"
    parts.cleaned(run_id)
