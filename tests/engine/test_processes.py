"""Processes that stop, are killed, or run in parallel: the state of their runs, and no object left on the engine."""

import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network

import docker
import pytest

from executor.docker.client import Engine
from executor.run.supervisor import Supervisor
from executor.sandbox.bootstrap import NOT_RECEIVED_MESSAGE
from executor.sandbox.subnets import SubnetPool
from tests.engine.conftest import running
from tests.engine.server import GATE, SUBNET_POOL, Server
from tests.fakes.specs import Remembering, make_spec


def test_a_stopped_server_leaves_nothing_and_says_why(new_server: Callable[..., Server]) -> None:
    """Ctrl-C: one script obeys, one ignores it, one run is queued; the next server finds them in their expected
    states."""
    server = new_server(CRONIUM_MAX_CONCURRENT="2").start()
    try:
        obeys = server.run("echo up; sleep 60")
        ignores = server.run("trap '' TERM; echo up; while :; do sleep 0.1; done")
        waits = server.run("echo later")
        for run_id in (obeys, ignores):
            with server.watch(run_id) as watch:
                watch.until_line("up")
        began = time.monotonic()
        code = server.stop(signal.SIGINT)
        assert time.monotonic() - began < 35  # ten seconds of grace, and the clearing up
        assert code in (0, -signal.SIGINT, 128 + signal.SIGINT)
        assert "Traceback" not in server.log.read_text()
        assert server.left() == []
        server.start()
        for run_id in (obeys, ignores):
            run = server.get(run_id)
            assert (run["status"], run["reason"]) == ("cancelled", "shutdown"), run["message"]
            assert b"up\n" in server.text(run_id)
        assert server.ended(waits)["status"] == "succeeded"
        server.stop()
        assert server.left() == []
    finally:
        server.stop()
        server.sweep()


def test_a_killed_servers_runs_are_settled_by_the_next(new_server: Callable[..., Server]) -> None:
    """Killed while one run is active, others are being built, and one is queued: none is stuck, none starts twice."""
    server = new_server(CRONIUM_MAX_CONCURRENT="4").start()
    try:
        runs = [server.run("echo begun 0; sleep 5")]
        with server.watch(runs[0]) as watch:
            watch.until_line("begun")
        while not any(server.get(one)["status"] == "starting" for one in runs[-3:]):
            assert len(runs) < 60
            runs.append(server.run(f"echo begun {len(runs)}"))
        runs += [server.run(f"echo begun {len(runs) + n}") for n in range(4)]
        server.stop(signal.SIGKILL)
        assert server.left() != []
        server.start()
        for number, run in enumerate(server.ended(run_id) for run_id in runs):
            said = (run["status"], run["reason"])
            assert said in (("succeeded", "exit_code"), ("errored", "not_delivered")), run["message"]
            assert server.text(run["id"]) == (f"begun {number}\n".encode() if run["exit_code"] == 0 else NOTHING_CAME)
        server.until(lambda: server.left() == [], 40)
        server.stop()
        assert server.left() == []
    finally:
        server.stop()
        server.sweep()


NOTHING_CAME = (NOT_RECEIVED_MESSAGE + "\n").encode()


def test_two_instances_leave_each_other_alone(serve: Callable[..., Server]) -> None:
    """One restarts, and collects garbage, while the other's run continues."""
    one, two = serve(CRONIUM_MAX_CONCURRENT="2"), serve(CRONIUM_MAX_CONCURRENT="2")
    assert one.instance != two.instance
    kept = two.run(f"echo up; {GATE}; echo still here")
    with two.watch(kept) as watch:
        watch.until_line("up")
        one.ended(one.run("echo mine"))
        one.stop()
        one.start()
        one.ended(one.run("echo mine again"))
        two.open_gate(kept)
        assert watch.until_end()["status"] == "succeeded"
    assert two.text(kept) == b"up\nstill here\n"


@pytest.fixture(scope="module", autouse=True)
def cut_off(new_server: Callable[..., Server]) -> Iterator[tuple[Server, str]]:
    """A server without an engine, and its run; started before the other tests, because its timeout is 20 s."""
    with running(new_server(CRONIUM_DOCKER_HOST="unix:///nonexistent.sock")) as server:
        yield server, server.run("echo no")


def test_an_unreachable_engine_ends_the_run_and_not_the_dashboard(cut_off: tuple[Server, str]) -> None:
    server, run_id = cut_off
    run = server.ended(run_id)
    assert (run["status"], run["reason"]) == ("errored", "engine_unreachable")
    assert "doctor" in run["message"]
    assert "Docker Engine" in run["message"]
    assert server.text(run["id"]) == b""
    assert server.call("GET", "/health")["status"] == "ok"


# A sidecar that is never healthy: another image in its place, under a supervisor of the test's own.

ENDS = b'FROM %s\nENTRYPOINT ["/bin/sh", "-c", "echo starting >&2; echo the port is taken >&2; exit 1"]\n'
UNHEALTHY = "test-unhealthy"


@pytest.fixture(scope="module")
def bad_sidecars(docker_client: docker.APIClient, runner_images: dict[str, str]) -> Iterator[dict[str, str]]:
    """Images: a sidecar that exits at once with a message, one that only reads standard input, and one that is
    missing."""
    tag, file = "cronium/test-sidecar:ends", ENDS % runner_images["bash"].encode()
    for line in docker_client.build(fileobj=io.BytesIO(file), tag=tag, rm=True, decode=True):
        assert "error" not in line, line
    yield {"ends": tag, "waits": runner_images["node"], "missing": "cronium/not-there:1"}
    docker_client.remove_image(tag, force=True)


@pytest.fixture(scope="module", autouse=True)
def unhealthy(bad_sidecars: dict[str, str], runner_images: dict[str, str]) -> Iterator[dict[str, Remembering]]:
    """Their runs, started before the other tests, because one takes the timeout of 30 s."""
    engine = Engine(os.environ.get("CRONIUM_DOCKER_HOST", ""))
    supervisor = Supervisor(engine, 3, SubnetPool(IPv4Network(SUBNET_POOL)), lambda: None)
    handlers = {name: Remembering() for name in bad_sidecars}
    for name, image in bad_sidecars.items():
        spec = make_spec(image=runner_images["bash"], sidecar_image=image, instance=UNHEALTHY, script="echo it ran")
        supervisor.start(spec, handlers[name])
    yield handlers
    assert supervisor.close(20)


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("ends", "sidecar_unhealthy", "the port is taken"),
        ("waits", "sidecar_unhealthy", "within 30 s"),
        ("missing", "image_missing", "cronium/not-there:1"),
    ],
)
def test_a_sidecar_that_is_never_healthy_leaves_nothing(
    unhealthy: dict[str, Remembering], name: str, reason: str, words: str
) -> None:
    told = unhealthy[name]
    told.wait_for("cleaned", 60)
    assert told.result is not None
    assert (told.result.status, told.result.reason) == ("errored", reason)
    assert words in told.result.message
    assert told.log() == b""
    assert "may_begin" not in told.events


def test_nothing_is_left_of_them(unhealthy: dict[str, Remembering]) -> None:
    for told in unhealthy.values():
        told.wait_for("cleaned", 60)
    assert Engine(os.environ.get("CRONIUM_DOCKER_HOST", "")).list_own_objects(UNHEALTHY) == []
