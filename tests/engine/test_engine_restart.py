"""An engine that is stopped or killed while it has runs: the job is not blamed, and no object is left."""

import hashlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engine.conftest import running
from tests.engine.second import SecondEngine
from tests.engine.server import Server
from tests.engine.test_recovery import variable
from tests.engine.test_warm import TWO_LINES, find_waiting, warm_up

ENDED_BY_IT = {signal.SIGTERM: {("errored", "engine_restarted")}}
ENDED_BY_IT[signal.SIGKILL] = ENDED_BY_IT[signal.SIGTERM] | {("lost", "container_gone")}
# While it clears up, the engine can't end either: for a while it answers of a script that it has just ended.
CLEARS_UP = "trap 'sleep 2; exit 143' TERM; echo up; echo trouble >&2; while :; do sleep 0.1; done"
ASKS_AND_TELLS = """
echo "begun $(cronium_increment_variable started)"
i=0
while [ ! -e /tmp/gate ]; do
  echo "line $((++i))"; echo "error $i" >&2
  cronium_increment_variable asked >/dev/null || exit 9
done
cronium_output '"done"'
"""


@pytest.fixture(scope="module")
def server(second: SecondEngine, new_server: Callable[..., Server]) -> Iterator[Server]:
    """Its worker uses the engine that is killed."""
    second.start()
    made = new_server(CRONIUM_DOCKER_HOST=second.address, CRONIUM_SUBNET_POOL=second.subnet_pool)
    made.engine_address = second.address
    with running(made):
        yield made
    assert second.left() == []


def begin(server: Server, script: str) -> str:
    """Launches a run, and waits for its output on both streams."""
    run_id = server.run(script)
    with server.watch(run_id) as watch:
        watch.until_line("up").until_line("trouble")
    return run_id


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_script_that_the_engine_took_along_has_not_failed(
    second: SecondEngine, server: Server, number: signal.Signals
) -> None:
    scripts = ("echo up; echo trouble >&2; exec sleep 60", CLEARS_UP)
    runs = [begin(server, script) for script in scripts]
    second.signal(number)
    second.start()
    for run in map(server.ended, runs):
        assert (run["status"], run["reason"]) in ENDED_BY_IT[number], run["message"]
        assert sorted(server.text(run["id"]).splitlines()) == [b"trouble", b"up"]
    after = server.ended(server.run("cronium_input"))
    assert after["status"] == "succeeded", after["message"]
    for run_id in (*runs, after["id"]):
        server.cleaned(run_id)


def check_each_once(server: Server, run: dict[str, Any], lines: int) -> None:
    """The lines are in order, and the digest matches; the log records a gap for lines that the engine has lost."""
    text = server.text(run["id"])
    assert run["log_digest"] == hashlib.sha256(text).hexdigest()
    for kind in ("line", "error"):
        numbers = [int(line.split()[1]) for line in text.decode().splitlines() if line.startswith(kind)]
        assert numbers == sorted(set(numbers))
        marked = any(event["kind"] == "log_gap" for event in run["events"])
        assert numbers == list(range(1, lines + 1)) or marked


def test_a_run_outlives_an_engine_that_keeps_its_containers(second: SecondEngine, server: Server) -> None:
    """The engine is killed and stopped in turn, while the script sends requests to its sidecar without a pause."""
    second.start("--live-restore")
    slug = server.job(ASKS_AND_TELLS, timeout_seconds=300)
    run_id = server.launch(slug)
    seen = 0
    for number in (signal.SIGKILL, signal.SIGTERM):
        with server.watch(run_id, after=seen) as watch:
            watch.until(lambda one: len(one.lines) >= 20)
        seen += len(watch.lines)
        second.signal(number)
        time.sleep(0.5)  # output while there is no engine
        second.start("--live-restore")
    with server.watch(run_id, after=seen) as watch:
        watch.until(lambda one: len(one.lines) >= 20)
    server.open_gate(run_id)
    run = server.ended(run_id)
    assert (run["status"], run["output"]) == ("succeeded", "done"), run["message"]
    assert variable(server, slug, "started") == 1
    check_each_once(server, run, variable(server, slug, "asked"))
    server.cleaned(run_id)


@pytest.fixture
def warm(second: SecondEngine, new_server: Callable[..., Server]) -> Iterator[Server]:
    """Another worker on the engine that is killed, with waiting sandboxes."""
    second.start()
    made = new_server(CRONIUM_DOCKER_HOST=second.address, CRONIUM_SUBNET_POOL=second.subnet_pool, CRONIUM_WARM="3")
    made.engine_address = second.address
    with running(made):
        yield made


@pytest.mark.parametrize(("number", "arguments"), [(signal.SIGTERM, ()), (signal.SIGKILL, ("--live-restore",))])
def test_waiting_sandboxes_are_replaced(
    second: SecondEngine, warm: Server, number: signal.Signals, arguments: tuple[str, ...]
) -> None:
    """One run is launched while the engine is away, the next one as soon as it is back, and a later one starts in a
    sandbox that waits again."""
    second.start(*arguments)
    slug = warm.job(TWO_LINES)
    warm_up(warm, slug)
    waiting = find_waiting(warm)
    second.signal(number)
    ids = [warm.launch(slug)]
    second.start(*arguments)
    ids.append(warm.launch(slug))
    for run_id in ids:
        run = warm.ended(run_id)
        assert (run["status"], warm.text(run_id)) == ("succeeded", b"one\ntwo\n"), run["message"]
        warm.cleaned(run_id)
    warm.until(lambda: not [name for name in warm.left() if any(old in name for old in waiting)], 90)
    warm_up(warm, slug)
    last = warm.ended(warm.launch(slug))
    assert (last["status"], last["warm"]) == ("succeeded", True), last["message"]
    assert (variable(warm, slug, "started"), variable(warm, slug, "ended")) == (7, 7)
