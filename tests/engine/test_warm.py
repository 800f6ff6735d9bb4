"""Waiting sandboxes on the real engine: runs take them, and every doubt and every death ends in an ordinary start."""

import copy
import re
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any

import docker
import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from executor.failpoints import WARM_POINTS
from tests.engine.server import Server
from tests.engine.test_recovery import killed_at_the_end, variable

TWO_LINES = """
cronium_increment_variable started > /dev/null
echo one
echo two
cronium_increment_variable ended > /dev/null
"""
PAUSES = (0.1, 0.3, 1.0, 0.05, 2.5)  # a worker reads the drain switch every two seconds; launches and claims at once
QUICK = "echo hello; cronium_input; cronium_output 5"


def find_waiting(server: Server) -> list[str]:
    """The ids of the sandboxes that wait: both containers run, and no run has the id."""
    wanted = {"label": [f"cronium.instance={server.instance}", "cronium.role=main"], "status": "running"}
    ids = [row["Labels"]["cronium.run_id"] for row in server.docker.containers(filters=wanted)]
    return [one for one in ids if server.client.get(f"/runs/{one}").status_code == 404]


def wait_for(server: Server, number: int = 1, seconds: float = 120) -> list[str]:
    """The ids of whole ones, at least `number`."""
    server.until(lambda: count_whole(server) >= number and len(find_waiting(server)) >= number, seconds)
    return find_waiting(server)


def count_whole(server: Server) -> int:
    (host,) = server.call("GET", "/hosts")["items"]
    shapes = host["warm"]["shapes"] if host["warm"] else []
    return sum(shape["waiting"] for shape in shapes if shape["kind"] == "whole")


@pytest.fixture
def warm(serve: Callable[..., Server]) -> Server:
    """A server on which one sandbox of each bash run waits soon."""
    return serve(CRONIUM_WARM="3", CRONIUM_MAX_CONCURRENT="4")


def warm_up(server: Server, slug: str) -> str:
    """Two runs, until a sandbox waits; its id."""
    for _ in range(2):
        assert server.ended(server.launch(slug))["status"] == "succeeded"
    return wait_for(server)[0]


def test_a_run_starts_in_the_one_that_waits(warm: Server) -> None:
    slug = warm.job(QUICK, input=[1])
    first = warm.ended(warm.launch(slug))
    assert (first["status"], first["warm"]) == ("succeeded", False), first["message"]
    warm_up(warm, slug)
    waiting = find_waiting(warm)
    run = warm.ended(warm.launch(slug))
    assert run["id"] in waiting
    assert (run["status"], run["warm"], run["cold_reason"], run["output"]) == ("succeeded", True, "", 5)
    assert warm.text(run["id"]) == b"hello\n[1]\n"
    warm.cleaned(run["id"])
    wait_for(warm)
    sandbox = warm.call("GET", f"/runs/{run['id']}/sandbox")
    assert (sandbox["reported"], sandbox["drifted"]) == (True, 0)


def strip(described: dict[str, Any], run_id: str) -> Any:
    """The settings of a container without what differs from one run to the next."""
    kept = {"Config": described["Config"], "HostConfig": described["HostConfig"]}
    text = repr(sorted(copy.deepcopy(kept).items()))
    text = text.replace(run_id, "ID").replace(described["Id"], "CONTAINER").replace(described["Id"][:12], "SHORT")
    text = re.sub(r"container:[0-9a-f]{64}", "container:SIDECAR", text)
    return re.sub(r"10\.\d+\.\d+\.\d+", "ADDRESS", text)


def test_a_waiting_one_holds_nothing_of_a_run_and_equals_a_cold_one(warm: Server) -> None:
    warm.call("PUT", "/secrets/API_KEY", {"value": "the-value-of-a-secret"})
    gate = "until [ -e /tmp/gate ]; do sleep 0.1; done; echo ${#API_KEY}"
    slug = warm.job(gate, secrets=["API_KEY"], env={"CITY": "Ulaanbaatar"}, input="the-input")
    cold = warm.launch(slug)
    with warm.watch(cold) as watch:
        watch.until_status("running")
    shapes = {role: strip(warm.container(cold, role), cold) for role in ("main", "sidecar")}
    warm.open_gate(cold)
    assert warm.ended(cold)["warm"] is False
    second = warm.launch(slug)
    with warm.watch(second) as watch:
        watch.until_status("running")
    warm.open_gate(second)
    warm.ended(second)
    (waiting, *_) = wait_for(warm)
    for role, shape in shapes.items():
        described = warm.container(waiting, role)
        told = repr(described)
        assert not [word for word in ("the-value", "Ulaanbaatar", "the-input", "eyJ") if word in told]
        assert strip(described, waiting) == shape.replace("cronium.epoch': '1'", "cronium.epoch': '1'")
    run_id = warm.launch(slug)
    assert run_id in (waiting, *find_waiting(warm)) or warm.get(run_id)["warm"] is not False
    with warm.watch(run_id) as watch:
        watch.until_status("running")
    warm.open_gate(run_id)
    run = warm.ended(run_id)
    assert (run["warm"], warm.text(run_id)) == (True, b"21\n")


def test_without_its_worker_it_ends_by_itself_and_the_next_one_clears(new_server: Callable[..., Server]) -> None:
    server = new_server(CRONIUM_WARM="3", CRONIUM_MAX_CONCURRENT="4")
    with killed_at_the_end(server.start()):
        slug = server.job(QUICK)
        waiting = warm_up(server, slug)
        server.stop(signal.SIGKILL)
        server.until(lambda: not server.container(waiting)["State"]["Running"], 20)
        server.start()
        run = server.ended(server.launch(slug))
        assert run["status"] == "succeeded"
        assert run["id"] != waiting
        server.until(lambda: not [name for name in server.left() if waiting in name], 60)


def test_a_run_that_was_promised_a_dead_one_starts_in_a_new_one(new_server: Callable[..., Server]) -> None:
    """The image is moved to another tag after the sandbox was prepared."""
    server = new_server(CRONIUM_WARM="3", CRONIUM_MAX_CONCURRENT="4")
    with killed_at_the_end(server.start()):
        bash = next(item for item in server.call("GET", "/images")["items"] if item["language"] == "bash")["reference"]
        letters = re.sub("[^a-z0-9]", "", server.instance.lower())  # a repository may not end with a hyphen
        repository, other = f"cronium-test-{letters}", "cronium/runtime-api:latest"
        server.docker.tag(bash, repository, "1")
        try:
            slug = server.job("echo hello", image=f"{repository}:1")
            warm_up(server, slug)
            server.until(lambda: _has_shape(server, f"{repository}:1"), 120)
            made = server.docker.commit(server.docker.create_container(other, name=f"{repository}-x")["Id"])["Id"]
            server.docker.tag(bash, repository, "keep")
            server.docker.remove_container(f"{repository}-x", force=True)
            server.docker.tag(made, repository, "1")
            server.docker.tag(bash, repository, "2")
            run = server.ended(server.launch(slug))
            assert (run["warm"], run["cold_reason"]) == (False, "sandbox_mismatch"), run["message"]
            assert "cold_start" in server.kinds(run["id"])
        finally:
            for tag in ("1", "2", "keep"):
                with suppress(docker.errors.APIError):
                    server.docker.remove_image(f"{repository}:{tag}")


def _has_shape(server: Server, image: str) -> bool:
    (host,) = server.call("GET", "/hosts")["items"]
    return any(shape["image"] == image and shape["waiting"] for shape in host["warm"]["shapes"])


@pytest.mark.parametrize("role", ["sidecar", "main"])
def test_one_whose_container_is_killed_is_replaced(warm: Server, role: str) -> None:
    slug = warm.job(QUICK)
    waiting = warm_up(warm, slug)
    warm.docker.kill(f"cronium-{role}-{waiting}")
    warm.until(lambda: not [name for name in warm.left() if waiting in name], 30)
    wait_for(warm)
    assert warm.ended(warm.launch(slug))["status"] == "succeeded"


def test_a_drained_host_keeps_none(warm: Server) -> None:
    slug = warm.job(QUICK)
    warm_up(warm, slug)
    (host,) = warm.call("GET", "/hosts")["items"]
    warm.call("PATCH", f"/hosts/{host['name']}", {"draining": True})
    run_id = warm.launch(slug)
    warm.until(lambda: warm.left() == [], 30)
    warm.call("PATCH", f"/hosts/{host['name']}", {"draining": False})
    assert warm.ended(run_id)["status"] == "succeeded"


def test_a_drain_that_races_with_launches(warm: Server) -> None:
    slug = warm.job(TWO_LINES)
    warm_up(warm, slug)
    (host,) = warm.call("GET", "/hosts")["items"]
    is_over = threading.Event()

    def toggle() -> None:
        for number in count():
            is_draining = number % 2 == 0 and not is_over.is_set()
            warm.call("PATCH", f"/hosts/{host['name']}", {"draining": is_draining})
            if is_over.wait(PAUSES[number % len(PAUSES)]) and not is_draining:
                return

    with ThreadPoolExecutor(1) as threads:
        toggling = threads.submit(toggle)
        ids = []
        for number in range(12):
            ids.append(warm.launch(slug))
            is_over.wait(PAUSES[(number + 1) % len(PAUSES)])
        is_over.set()
        toggling.result(30)
    for run_id in ids:
        run = warm.ended(run_id)
        assert (run["status"], warm.text(run_id)) == ("succeeded", b"one\ntwo\n"), run["message"]
        assert [event["kind"] for event in run["events"]].count("started") == 1
    assert (variable(warm, slug, "started"), variable(warm, slug, "ended")) == (14, 14)
    warm.call("PATCH", f"/hosts/{host['name']}", {"draining": True})
    warm.until(lambda: warm.left() == [], 30)


@pytest.mark.chaos
@pytest.mark.parametrize("point", WARM_POINTS)
def test_a_server_that_dies_at(new_server: Callable[..., Server], point: str) -> None:
    """At any failpoint of the pool, the next server brings every run to its end, and a script begins at most once."""
    server = new_server(CRONIUM_WARM="3", CRONIUM_MAX_CONCURRENT="4", CRONIUM_CRASH_AT=point)
    with killed_at_the_end(server.start()):
        slug = server.job(TWO_LINES, timeout_seconds=90)
        assert server.process is not None
        for number in range(40):
            with suppress(httpx.TransportError, ConnectionClosed):  # it may die before it answers
                server.ended(server.launch(slug, key=f"run-{number}"))
            if server.process.poll() is not None:
                break
            with suppress(httpx.TransportError, AssertionError):
                server.until(lambda: server.process is None or server.process.poll() is not None, 3)
        assert server.process.wait(30) == -signal.SIGKILL
        del server.env["CRONIUM_CRASH_AT"]
        server.start()
        ids = {server.launch(slug, key=f"run-{number}") for number in range(number + 1)}
        for run_id in ids:
            server.ended(run_id)
            assert server.get(run_id)["status"] == "succeeded", server.get(run_id)["message"]
            assert server.text(run_id) == b"one\ntwo\n"
        assert (variable(server, slug, "started"), variable(server, slug, "ended")) == (len(ids), len(ids))
        for run_id in ids:  # the dead server may have been removing one; garbage collection waits for it for a moment
            server.cleaned(run_id, 60)
        server.stop()
        assert server.left() == [], server.report()
