"""The canary and the sandbox's report on the real engine: an intact sandbox, and weakened sandboxes."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor.checks.isolation import Canary, Probe
from executor.docker.client import Engine
from executor.run.slot import Slot
from executor.sandbox import inspection, options
from executor.sandbox.subnets import SubnetPool
from executor.spec import RunSpec
from tests.engine.server import SUBNET_POOL, Server, manage
from tests.fakes.specs import Remembering, make_spec
from tests.forks import run_python

INSTANCE = "canary-test"
SIDECAR = "cronium/runtime-api:latest"
# A process with the canary of a weakened engine: without Cronium's seccomp profile, and with a trusted report.
WEAKENED = """
from cronium_admin.workers.health import canary
from executor.sandbox import inspection, options
from executor.docker.client import Engine
right = options._build_hardening
weak = {"SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined"]}
options._build_hardening = lambda *arguments, **named: right(*arguments, **named) | weak
inspection.describe_violations = lambda rows: ""
assert canary.store_verdict("local", canary.make_canary(Engine(), "local").run())
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine(os.environ.get("CRONIUM_DOCKER_HOST", ""))
    yield made
    assert made.list_own_objects(INSTANCE) == [], "something is left on the engine"


@pytest.fixture
def trial(engine: Engine, runner_images: dict[str, str]) -> Callable[..., dict[str, Probe]]:
    """Runs one canary; returns its probes by name."""

    def run(joined_network: bool = True) -> dict[str, Probe]:
        pool = SubnetPool(IPv4Network(SUBNET_POOL))
        canary = Canary(engine, (runner_images["python"],), SIDECAR, INSTANCE, "here", pool, joined_network)
        return {probe.name: probe for probe in canary.run()}

    return run


def through(probes: dict[str, Probe]) -> set[str]:
    return {name for name, probe in probes.items() if not probe.held}


@pytest.fixture
def harden(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes the requested options of every container."""

    def change(**changes: Any) -> None:
        right = options._build_hardening
        monkeypatch.setattr(options, "_build_hardening", lambda *args, **named: right(*args, **named) | changes)

    return change


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the report show no drift: only the probes can detect the weakness."""
    monkeypatch.setattr(inspection, "describe_violations", lambda rows: "")


@pytest.mark.parametrize("joined_network", [True, False], ids=["joined", "apart"])
def test_all_probes_hold(trial: Callable[..., dict[str, Probe]], joined_network: bool) -> None:
    probes = trial(joined_network)
    assert {name: probe.found for name, probe in probes.items() if not probe.held} == {}
    assert set(probes) == {
        *("host", "neighbour", "DNS", "vsock", "io_uring", "ptrace", "keyctl", "mount", "unshare", "setuid"),
        *("root file system", "engine socket", "disk"),
    }


def test_it_works_with_the_sidecars_image_too(engine: Engine) -> None:
    pool = SubnetPool(IPv4Network(SUBNET_POOL))
    probes = Canary(engine, ("cronium/not-there:1", SIDECAR), SIDECAR, INSTANCE, "here", pool).run()
    assert len(probes) == 13
    assert all(probe.held for probe in probes)


def test_without_the_seccomp_profile_its_calls_get_through(
    trial: Callable[[], dict[str, Probe]], harden: Callable[..., None], trusting: None
) -> None:
    harden(SecurityOpt=["no-new-privileges:true", "seccomp=unconfined"])
    assert through(trial()) >= {"vsock", "io_uring", "ptrace", "keyctl"}


def test_privileges_are_found(
    trial: Callable[[], dict[str, Probe]], harden: Callable[..., None], trusting: None
) -> None:
    harden(SecurityOpt=["seccomp=unconfined"])
    probes = trial()
    assert "privileges may be gained" in probes["setuid"].found


def test_a_root_that_can_be_written_is_found(
    trial: Callable[[], dict[str, Probe]], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Canary._build_spec
    monkeypatch.setattr(Canary, "_build_spec", lambda *args: replace(right(*args), read_only_root=False))
    assert through(trial()) == {"root file system"}


@pytest.mark.parametrize("joined_network", [True, False], ids=["joined", "apart"])
def test_a_network_with_the_host_on_it_is_found(
    trial: Callable[..., dict[str, Probe]], monkeypatch: pytest.MonkeyPatch, trusting: None, joined_network: bool
) -> None:
    monkeypatch.setattr(options, "_build_no_host_options", lambda version: {})
    assert through(trial(joined_network)) == {"host"}


def test_a_broken_promise_is_seen_before_any_script(
    trial: Callable[[], dict[str, Probe]], harden: Callable[..., None], engine: Engine, bash_image: str
) -> None:
    """The request itself violates a requirement: neither canary nor run begins."""
    harden(CapAdd=["CHOWN"])
    assert through(trial()) == {"sandbox"}
    told = run_once(engine, make_spec(image=bash_image, sidecar_image=SIDECAR, instance=INSTANCE, script="echo ran"))
    assert told.result is not None
    assert (told.result.status, told.result.reason) == ("errored", "sandbox_drift")
    assert "capabilities added is CHOWN (requested: none)" in told.result.message
    assert told.log() == b""


def run_once(engine: Engine, spec: RunSpec) -> Remembering:
    told = Remembering()
    Slot(engine, spec, told, SubnetPool(IPv4Network(SUBNET_POOL)), threading.Semaphore(2)).run()
    return told


def test_a_runtime_that_is_not_offered_is_named_and_nothing_is_made(engine: Engine, bash_image: str) -> None:
    spec = make_spec(image=bash_image, sidecar_image=SIDECAR, instance=INSTANCE, runtime="no-such-runtime")
    told = run_once(engine, spec)
    assert told.result is not None
    assert (told.result.status, told.result.reason) == ("errored", "runtime_missing")
    assert "runc" in told.result.message
    assert told.report == {}


def test_the_default_runtime_may_be_named(engine: Engine, bash_image: str) -> None:
    spec = make_spec(image=bash_image, sidecar_image=SIDECAR, instance=INSTANCE, runtime=engine.default_runtime)
    told = run_once(engine, spec)
    assert (told.log(), told.report["drifted"]) == (b"hello\n", 0)


@pytest.mark.parametrize(
    "job",
    [
        {},
        {"read_only_root": False},
        {"network": "none"},
        {"network": "open"},
        {"network": "egress", "egress": ["example.com:443"]},
    ],
    ids=lambda job: "-".join(map(str, job)) or "plain",
)
def test_every_kind_of_run_is_reported_as_asked(server: Server, job: dict[str, Any]) -> None:
    run_id = server.run("echo hello", **job)
    run = server.ended(run_id)
    told = server.call("GET", f"/runs/{run_id}/sandbox")
    assert [row for row in told["rows"] if row["drift"]] == []
    assert run["status"] == "succeeded", run["message"]
    assert told["reported"]
    parts = {row["of"] for row in told["rows"]}
    more = {"none": set(), "egress": {"sidecar", "network", "way out"}}
    assert parts == {"main"} | more.get(job.get("network", ""), {"sidecar", "network"})


def doctor(server: Server, *more: str) -> dict[str, Any]:
    done = run_python(("manage.py", "doctor", "--json", *more), server.env, timeout=120)
    return {row["name"]: row for row in json.loads(done.stdout)["checks"]}


def test_an_unsafe_host_takes_no_runs_until_doctor_finds_it_safe(serve: Callable[..., Server]) -> None:
    server = serve()
    manage(server.env, "shell", "-c", WEAKENED)
    server.until(lambda: server.call("GET", "/hosts")["items"][0]["takes_runs"] is False)
    (host,) = server.call("GET", "/hosts")["items"]
    assert {probe["name"] for probe in host["canary"] if not probe["held"]} >= {"vsock", "ptrace"}
    beats(server)  # the worker has read its verdict
    waits = server.run("echo at last")
    beats(server)
    assert server.get(waits)["status"] == "queued"
    rows = doctor(server)
    assert {row["state"] for name, row in rows.items() if name.startswith("isolation: ")} == {"ok"}
    assert server.ended(waits)["status"] == "succeeded"


def beats(server: Server, times: int = 2) -> None:
    """Waits for two heartbeats of the host, so that its row has been read."""

    def last() -> str:
        return str(server.call("GET", "/hosts")["items"][0]["heartbeat_at"])

    for _ in range(times):
        before = last()
        server.until(lambda before=before: last() != before)


def test_with_the_override_it_takes_runs_all_the_same(serve: Callable[..., Server]) -> None:
    server = serve(CRONIUM_ALLOW_UNSAFE_HOST="true")
    manage(server.env, "shell", "-c", WEAKENED)
    server.until(lambda: server.call("GET", "/hosts")["items"][0]["unsafe"])
    beats(server)
    assert server.ended(server.run("echo hello"))["status"] == "succeeded"


def test_a_worker_tries_itself_after_its_start_and_leaves_nothing(serve: Callable[..., Server]) -> None:
    server = serve(CRONIUM_CANARY="on")
    run_id = server.run("echo not held back")
    assert server.ended(run_id)["status"] == "succeeded"
    server.until(lambda: any(host["canary_at"] for host in server.call("GET", "/hosts")["items"]), 60)
    (host,) = server.call("GET", "/hosts")["items"]
    assert [probe for probe in host["canary"] if not probe["held"]] == []
    assert (host["unsafe"], host["takes_runs"]) == (False, True)
    assert "runc" in host["runtimes"]
    server.until(lambda: server.left() == [])
