"""A run's container is paused, killed, restarted or removed from outside: the run's result reports it."""

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from executor.docker.errors import SandboxTampered
from tests.engine.server import Server, pause_container

SCRIPT = "echo up; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def server(new_server: Callable[..., Server]) -> Iterator[Server]:
    """A server that a test may kill."""
    made = new_server(CRONIUM_MAX_CONCURRENT="12", CRONIUM_CANARY="off").start()
    try:
        yield made
    finally:
        made.stop(signal.SIGKILL)
        made.sweep()


def begun(server: Server) -> tuple[str, str]:
    """A run whose script has written output, and the name of its container."""
    run_id = server.run(SCRIPT, timeout_seconds=300)
    with server.watch(run_id) as watch:
        watch.until_line("up")
    return run_id, f"cronium-main-{run_id}"


@pytest.mark.parametrize("grace", [0, 10])
def test_a_restarted_container_is_a_run_that_is_lost(server: Server, grace: int) -> None:
    run_id, name = begun(server)
    server.docker.restart(name, timeout=grace)
    ended = server.ended(run_id)
    assert (ended["status"], ended["reason"]) == ("lost", SandboxTampered.reason), ended["message"]
    assert "was restarted from outside Cronium" in ended["message"]
    server.cleaned(run_id)


def test_a_removed_container_is_a_run_that_is_lost(server: Server) -> None:
    run_id, name = begun(server)
    server.docker.remove_container(name, force=True)
    ended = server.ended(run_id)
    assert (ended["status"], ended["reason"]) == ("lost", "container_gone"), ended["message"]
    assert "was removed from outside Cronium" in ended["message"]
    server.cleaned(run_id)


def test_a_renamed_container_is_still_the_runs(server: Server) -> None:
    run_id, name = begun(server)
    server.docker.rename(name, f"renamed-{run_id}")
    server.cancel(run_id)
    ended = server.ended(run_id)
    assert (ended["status"], ended["reason"]) == ("cancelled", "cancelled"), ended["message"]
    server.cleaned(run_id)
    assert not server.docker.containers(all=True, filters={"name": f"renamed-{run_id}"})


def test_a_renamed_container_keeps_its_result_and_its_log(server: Server) -> None:
    run_id = server.run("echo up; sleep 3; echo down; exit 3", timeout_seconds=300)
    with server.watch(run_id) as watch:
        watch.until_line("up")
    server.docker.rename(f"cronium-main-{run_id}", f"renamed-{run_id}")
    ended = server.ended(run_id)
    assert (ended["status"], ended["reason"], ended["exit_code"]) == ("failed", "exit_code", 3), ended["message"]
    assert server.text(run_id).split() == [b"up", b"down"]
    server.cleaned(run_id)
    assert not server.docker.containers(all=True, filters={"name": f"renamed-{run_id}"})


def test_a_killed_container_is_not_short_of_memory(server: Server) -> None:
    run_id, name = begun(server)
    server.docker.kill(name)
    ended = server.ended(run_id)
    assert (ended["status"], ended["reason"], ended["exit_code"]) == ("failed", "exit_code", 137)
    assert "no lack of memory" in ended["message"]
    server.cleaned(run_id)


def test_a_paused_container_is_told_and_goes_on(server: Server) -> None:
    run_id, name = begun(server)
    pause_container(server.docker, name)
    server.until(lambda: "paused" in server.kinds(run_id), 60)
    server.docker.unpause(name)
    server.until(lambda: "continued" in server.kinds(run_id), 60)
    server.cancel(run_id)
    assert server.ended(run_id)["status"] == "cancelled"
    server.cleaned(run_id)


@pytest.mark.parametrize("still_runs", [True, False])
def test_one_that_was_restarted_while_no_worker_watched_is_lost(server: Server, still_runs: bool) -> None:
    run_id, name = begun(server)
    time.sleep(7)  # longer than the tolerance for a clock that is set back
    server.stop(signal.SIGKILL)
    server.docker.restart(name, timeout=0)
    if not still_runs:
        server.docker.stop(name, timeout=0)
    server.start()
    ended = server.ended(run_id)
    assert (ended["status"], ended["reason"]) == ("lost", SandboxTampered.reason), ended["message"]
    server.cleaned(run_id)
