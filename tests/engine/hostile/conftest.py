"""Fixtures of the hostile tests: the innocent run beside them, and the same probes outside a sandbox."""

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from tests.engine.hostile import probes
from tests.engine.server import Server, Watch

# The longest pause of the innocent run while the hostile runs work, on a machine busy with tests.
STILL_SECONDS = 20


def digest_of(ticks: int) -> str:
    """The digest that the innocent run has computed after `ticks` ticks."""
    made = hashlib.sha256(b"innocent")
    for tick in range(1, ticks + 1):
        made.update(str(tick).encode())
    return made.hexdigest()


def check_ticks(watch: Watch) -> dict[str, Any]:
    """Every line is present, in order, correct and in time, and reports no visitor; returns the last tick."""
    assert [line[0] for line in watch.lines] == list(range(1, len(watch.lines) + 1))
    times = [line[1] / 1e9 for line in watch.lines]
    stillest = max((later - earlier for earlier, later in itertools.pairwise(times)), default=0)
    assert stillest < STILL_SECONDS, f"the innocent run stood still for {stillest:.1f} s"
    ticks = [json.loads(line[3]) for line in watch.lines]
    assert [one["tick"] for one in ticks] == list(range(1, len(ticks) + 1))
    for one in ticks:
        assert (one["visitors"], one["healthy"], one["files"]) == (0, True, ["script.py"])
    last = dict(ticks[-1])
    assert last["digest"] == digest_of(last["tick"])
    return last


@pytest.fixture(scope="package")
def innocent(server: Server) -> Iterator[str]:
    """A run that listens, checks its sidecar and ticks while the hostile runs work."""
    run_id = server.run(probes.read("innocent"), "python", timeout_seconds=1800, input={"who": "innocent"})
    with server.watch(run_id) as watch:
        watch.until_line("visitors")
    yield run_id
    server.open_gate(run_id)
    with server.watch(run_id) as watch:
        watch.until_end()
        last = check_ticks(watch)
    run = server.get(run_id)
    assert (run["status"], run["exit_code"], run["log_lines"]) == ("succeeded", 0, last["tick"])
    assert run["output"] == {"ticks": last["tick"], "visitors": 0, "digest": digest_of(last["tick"])}
    server.cleaned(run_id)


@pytest.fixture(autouse=True)
def untouched(server: Server, innocent: str) -> Iterator[None]:
    """After each test: the innocent run is active, has had no visitor, and has lost no line and no file."""
    yield
    asked_at = time.time()
    with server.watch(innocent) as watch:
        watch.until(lambda one: one.lines and one.lines[-1][1] / 1e9 > asked_at, STILL_SECONDS + 10)
        check_ticks(watch)
    assert server.get(innocent)["status"] == "running"


@pytest.fixture(scope="package")
def said(server: Server) -> Callable[[str], dict[str, Any]]:
    """The one JSON object that a run printed, after it has succeeded."""

    def wait(run_id: str) -> dict[str, Any]:
        run, text = server.ended(run_id), server.text(run_id).decode(errors="replace")
        assert run["status"] == "succeeded", f"{run['message']}\n{text[-2000:]}"
        return dict(json.loads(text.splitlines()[-1]))

    return wait


@pytest.fixture(scope="package")
def outside(server: Server, runner_images: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """Runs a probe in a plain container, as a control that it can succeed; returns its output.

    `host` holds the engine's HostConfig, such as {"CapAdd": ["SYS_ADMIN"]}; the default user is root.
    """

    def run(name: str, user: str = "0:0", env: dict[str, str] | None = None, image: str = "", **host: Any) -> Any:
        client: docker.APIClient = server.docker
        config = client.create_host_config(network_mode=host.pop("NetworkMode", "bridge")) | host
        made = client.create_container(
            image or runner_images["python"],
            ["-c", probes.read(name)],
            entrypoint=["python3"],
            user=user,
            environment=env or {},
            labels={"cronium.instance": server.instance},
            host_config=config,
        )["Id"]
        try:
            client.start(made)
            code = client.wait(made, timeout=60)["StatusCode"]
            text = client.logs(made, stdout=True, stderr=True).decode(errors="replace")
            assert code == 0, text[-2000:]
            return json.loads(text.splitlines()[-1])
        finally:
            client.remove_container(made, force=True)

    return run
