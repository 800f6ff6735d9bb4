"""A sandbox on the real engine that is prepared before its run is known: what it shows, and how it ends without one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import pytest

from executor import naming
from executor.checks.gc import collect_leftovers
from executor.docker.client import Engine
from executor.docker.errors import SandboxDefect, SandboxDrift, SandboxMismatch, SidecarUnhealthy
from executor.docker.frames import FrameParser
from executor.run.payload import build_payload
from executor.sandbox import inspection
from executor.sandbox.bootstrap import NOT_RECEIVED
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.shape import find_shape_digest, find_stem_digest
from executor.sandbox.subnets import SubnetPool
from executor.spec import MB, Reply, RunSpec
from tests.engine.server import pause_container
from tests.fakes.contract import World
from tests.fakes.specs import make_binding

SIDECAR = "cronium/runtime-api:latest"
POOL = IPv4Network("10.215.7.0/24")
SCRIPT = """
echo "$PLAIN $HIDDEN"
cronium_input
cronium_set_variable seen '"yes"'
"""
# A process that prepares a sandbox and waits. Arguments: run id, instance, image.
PREPARING = f"""
import sys, time
from ipaddress import IPv4Network
from executor.docker.client import Engine
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from tests.fakes.specs import make_spec
run_id, instance, image = sys.argv[1:]
spec = make_spec(run_id=run_id, instance=instance, image=image, sidecar_image={SIDECAR!r})
Sandbox(Engine(), spec.sandbox, SubnetPool(IPv4Network({str(POOL)!r}))).prepare()
print("prepared", flush=True)
time.sleep(600)
"""


@pytest.fixture
def world(bash_image: str) -> Iterator[World]:
    made = World(Engine(), bash_image, SIDECAR, SubnetPool(POOL))
    yield made
    made.clear()


def secretive(world: World, **changes: Any) -> RunSpec:
    from cronium_admin.runtime_api.helpers import load_helpers

    values: dict[str, Any] = {
        "script": SCRIPT,
        "env": {"PLAIN": "plain-value"},
        "secrets": {"HIDDEN": "hidden-value"},
        "input": {"word": "input-value"},
        "context": {"job": "context-value"},
        "helpers": load_helpers(),
    }
    return world.spec(**(values | changes))


def prepare(world: World, spec: RunSpec) -> Sandbox:
    sandbox = Sandbox(world.engine, spec.shape.make_sandbox_spec(spec.run_id, spec.epoch), world.pool)
    sandbox.prepare()
    return sandbox


def container_names(spec: RunSpec) -> list[str]:
    sidecar = [] if spec.network == "none" else [naming.name_sidecar(spec.run_id)]
    return [naming.name_main(spec.run_id), *sidecar]


def read_output(sandbox: Sandbox) -> bytes:
    assert sandbox.output is not None
    frames, text = FrameParser(), b""
    while block := sandbox.output.recv(65536, 30):
        text += b"".join(data for _, data in frames.feed(block))
    assert block == b""
    return text


@pytest.mark.parametrize(
    ("network", "joined"),
    [("isolated", True), ("isolated", False), ("none", True), ("egress", True), ("open", True), ("open", False)],
)
def test_it_shows_nothing_of_a_run_and_then_runs_it(
    world: World, docker_client: docker.APIClient, network: str, joined: bool
) -> None:
    spec = secretive(world, network=network, joined_network=joined, egress=("pattern-value.example:443",))
    if network == "none":
        spec = replace(spec, script='echo "$PLAIN $HIDDEN"')
    sandbox = prepare(world, spec)
    assert inspection.describe_violations(sandbox.build_report()) == ""
    shown = json.dumps([docker_client.inspect_container(name) for name in container_names(spec)])
    for word in ("PLAIN", "HIDDEN", "-value", spec.token, "TOKEN", "cronium_set_variable"):
        assert word not in shown
    written: list[Any] = []

    def answer(operation: str, body: Any) -> Reply:
        written.append((operation, body.get("value")))
        return Reply(data=None)

    sandbox.bind(make_binding(spec, answer))
    shown = json.dumps([docker_client.inspect_container(name) for name in container_names(spec)])
    assert "-value" not in shown
    assert spec.token not in shown
    with pytest.raises(SandboxMismatch, match="bound to a run already"):
        sandbox.bind(make_binding(spec, answer))
    sandbox.send_payload(build_payload(spec))
    output = read_output(sandbox)
    assert output.startswith(b"plain-value hidden-value\n")
    if network != "none":
        assert b"input-value" in output
        assert [value for _, value in written] == ["yes"]
    assert sandbox.inspect_main().exit_code == 0
    assert sandbox.take_down()
    assert world.engine.list_own_objects(world.instance) == []


def test_a_run_of_another_shape_is_refused_and_the_right_one_still_taken(
    world: World, runner_images: dict[str, str]
) -> None:
    spec = secretive(world)
    sandbox = prepare(world, spec)
    assert sandbox.shape_digest == find_shape_digest(world.engine, spec)
    with pytest.raises(SandboxMismatch, match="than the run's: language, image, read only root"):
        sandbox.bind(
            make_binding(replace(spec, read_only_root=False, language="python", image=runner_images["python"]))
        )
    with pytest.raises(SandboxMismatch, match="epoch 1"):
        sandbox.bind(make_binding(replace(spec, epoch=1)))
    exact = world.engine.describe_image(spec.image).id  # the same image under another name
    sandbox.bind(make_binding(replace(spec, image_digest=exact)))
    assert sandbox.take_down()


def test_two_sandboxes_of_one_shape_have_one_digest_and_a_moved_tag_changes_it(
    world: World, docker_client: docker.APIClient, runner_images: dict[str, str]
) -> None:
    tag = f"cronium/test-shape:{os.getpid()}"
    docker_client.tag(world.image, *tag.split(":"))
    try:
        first, second = secretive(world, image=tag), secretive(world, image=tag, script="exit 3")
        sandboxes = prepare(world, first), prepare(world, second)
        assert sandboxes[0].shape_digest == sandboxes[1].shape_digest != ""
        docker_client.tag(runner_images["node"], *tag.split(":"), force=True)
        with pytest.raises(SandboxMismatch, match="changed meanwhile"):
            sandboxes[0].bind(make_binding(first))
        assert all(sandbox.take_down() for sandbox in sandboxes)
    finally:
        docker_client.remove_image(tag)


def test_a_sidecar_that_was_killed_while_it_waited_is_noticed(world: World, docker_client: docker.APIClient) -> None:
    spec = secretive(world)
    sandbox = prepare(world, spec)
    docker_client.kill(naming.name_sidecar(spec.run_id))
    with pytest.raises(SidecarUnhealthy, match="ended before the script began"):
        sandbox.bind(make_binding(spec))
    assert sandbox.take_down()


def prepare_stem(world: World, spec: RunSpec, other_image: str) -> Sandbox:
    """A stem that was prepared for another language, image and other limits than those of `spec`."""
    limits = replace(spec.limits, memory_bytes=64 * MB)
    sandbox = Sandbox(
        world.engine, replace(spec.sandbox, language="python", image=other_image, limits=limits), world.pool
    )
    sandbox.prepare_stem()
    return sandbox


def blank(spec: RunSpec, answer: Any, *sidecar_ids: str) -> Any:
    """What the engine says of a container or network, without what differs between two of one shape."""
    text = json.dumps(answer)
    for word in (spec.run_id, naming.name_bridge(spec), *sidecar_ids):
        text = text.replace(word, "X")
    return json.loads(text)


def describe(world: World, docker_client: docker.APIClient, spec: RunSpec) -> list[Any]:
    """The settings of all of a run's containers, and of its network, that its shape decides."""
    shown = []
    (sidecar,) = (docker_client.inspect_container(naming.name_sidecar(spec.run_id))["Id"],)
    for name in container_names(spec):
        told = docker_client.inspect_container(name)
        config = told["Config"]
        if told["Id"] != sidecar:
            config["Hostname"] = ""  # the engine gives it the sidecar's
        endpoints = {
            network: sorted(set(endpoint["Aliases"] or ()) - {told["Id"][:12]})
            for network, endpoint in told["NetworkSettings"]["Networks"].items()
        }
        shown.append(blank(spec, [config, told["HostConfig"], told["Mounts"], told["Image"], endpoints], sidecar))
    network = docker_client.inspect_network(naming.name_network(spec.run_id))
    members = [member["Name"] for member in network["Containers"].values()]
    parts = [network[key] for key in ("Driver", "Internal", "Attachable", "EnableIPv6", "Options", "Labels")]
    return [*shown, blank(spec, [*parts, members])]


@pytest.mark.parametrize("network", ["isolated", "open"])
def test_a_stem_serves_another_image_and_limits_and_looks_like_a_cold_sandbox(
    world: World, docker_client: docker.APIClient, runner_images: dict[str, str], network: str
) -> None:
    spec = secretive(world, network=network)
    stem = prepare_stem(world, spec, runner_images["python"])
    assert stem.shape_digest == find_stem_digest(world.engine, spec)
    assert not [row for row in stem.build_report() if row.drift]
    shown = json.dumps(docker_client.inspect_container(naming.name_sidecar(spec.run_id)))
    assert "-value" not in shown
    stem.bind(make_binding(spec, lambda operation, body: Reply(data=None)))
    assert not [row for row in stem.build_report() if row.drift]
    warm = describe(world, docker_client, spec)
    cold_spec = secretive(world, network=network)
    cold = Sandbox(world.engine, cold_spec.sandbox, world.pool)
    cold.prepare(make_binding(cold_spec, lambda operation, body: Reply(data=None)))
    assert describe(world, docker_client, cold_spec) == warm
    waiting_spec = secretive(world, network=network)
    waiting = prepare_stem(world, waiting_spec, runner_images["node"])
    waiting.add_main(waiting_spec.sandbox)
    assert waiting.shape_digest == find_shape_digest(world.engine, waiting_spec)
    assert describe(world, docker_client, waiting_spec) == warm
    for sandbox, its_spec in ((stem, spec), (cold, cold_spec)):
        sandbox.send_payload(build_payload(its_spec))
        assert read_output(sandbox).startswith(b"plain-value hidden-value\n")
    assert all(sandbox.take_down() for sandbox in (stem, cold, waiting))


@pytest.mark.parametrize("kind", ["stem", "whole"])
def test_a_stranger_on_the_network_of_a_waiting_sandbox_is_noticed(
    world: World, docker_client: docker.APIClient, runner_images: dict[str, str], kind: str
) -> None:
    spec = secretive(world)
    sandbox = prepare_stem(world, spec, runner_images["python"]) if kind == "stem" else prepare(world, spec)
    stranger = docker_client.create_container(world.image, ["sleep", "60"], entrypoint=[], detach=True)["Id"]
    try:
        docker_client.start(stranger)
        docker_client.connect_container_to_network(stranger, naming.name_network(spec.run_id))
        with pytest.raises(SandboxDrift, match="other containers"):
            sandbox.bind(make_binding(spec))
        docker_client.disconnect_container_from_network(stranger, naming.name_network(spec.run_id))
        docker_client.connect_container_to_network(naming.name_sidecar(spec.run_id), "bridge")
        with pytest.raises(SandboxDrift, match="sidecar's networks"):
            sandbox.bind(make_binding(spec))
    finally:
        docker_client.remove_container(stranger, force=True)
    assert sandbox.take_down()


def test_what_another_program_changed_or_paused_while_it_waits_is_not_bound(
    world: World, docker_client: docker.APIClient
) -> None:
    spec = secretive(world)
    sandbox, main = prepare(world, spec), naming.name_main(spec.run_id)
    pause_container(docker_client, main)
    with pytest.raises(SandboxDefect, match="is paused"):
        sandbox.bind(make_binding(spec))
    docker_client.unpause(main)
    docker_client.update_container(main, mem_limit=1024 * MB, memswap_limit=1024 * MB)
    with pytest.raises(SandboxDrift, match="main's memory is 1024 MB"):
        sandbox.bind(make_binding(spec))
    assert sandbox.take_down()


@pytest.mark.parametrize("kind", ["stem", "whole"])
def test_a_sidecar_killed_while_it_waits_is_a_defect(
    world: World, docker_client: docker.APIClient, runner_images: dict[str, str], kind: str
) -> None:
    spec = secretive(world)
    sandbox = prepare_stem(world, spec, runner_images["python"]) if kind == "stem" else prepare(world, spec)
    assert sandbox.find_defect() == ""
    docker_client.kill(naming.name_sidecar(spec.run_id))
    end = time.monotonic() + 10
    while not sandbox.find_defect():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert "its sidecar has ended" in sandbox.find_defect()
    assert sandbox.take_down()


def test_a_main_killed_while_it_waits_is_a_defect(world: World, docker_client: docker.APIClient) -> None:
    spec = secretive(world, network="none")
    sandbox = prepare(world, spec)
    assert sandbox.find_defect() == ""
    docker_client.kill(naming.name_main(spec.run_id))
    end = time.monotonic() + 10
    while not sandbox.find_defect():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert "its main container has ended" in sandbox.find_defect()
    assert sandbox.take_down()


def test_without_its_process_main_runs_nothing_and_everything_can_be_removed(world: World) -> None:
    """The sidecar's standard input stays open, as it must for the sidecar of a run, which another process adopts."""
    spec = world.spec()
    main, sidecar = container_names(spec)
    command = [sys.executable, "-c", PREPARING, spec.run_id, world.instance, world.image]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"prepared\n"
        assert [world.engine.inspect(name).status for name in (main, sidecar)] == ["running", "running"]
        process.send_signal(signal.SIGKILL)
    assert world.settled(main) == NOT_RECEIVED
    assert world.engine.inspect(sidecar).is_running
    removed = collect_leftovers(world.engine, world.instance, spec.host, lambda run_ids: frozenset())
    assert {item.name for item in removed} == {main, sidecar, naming.name_network(spec.run_id)}
    assert world.engine.list_own_objects(world.instance) == []


def test_one_that_is_let_go_ends_and_is_removed_by_the_next_attempt(world: World) -> None:
    spec = secretive(world, epoch=1)
    sandbox = prepare(world, spec)
    sandbox.detach()
    assert world.settled(sandbox.main) == NOT_RECEIVED
    sandbox.abandon()
    again = replace(spec, epoch=2)
    cold = Sandbox(world.engine, again.sandbox, world.pool)
    cold.prepare(make_binding(again))
    cold.send_payload(build_payload(again))
    assert read_output(cold).startswith(b"plain-value hidden-value\n")
    assert cold.take_down()
