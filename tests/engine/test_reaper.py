"""Garbage collection on the real engine: removes leftover objects of this instance in any state, and no others."""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack
from ipaddress import IPv4Network
from pathlib import Path

import docker
import pytest

from executor import naming
from executor.checks.gc import collect_leftovers
from executor.docker.client import Engine
from executor.docker.errors import SandboxGone
from executor.sandbox import options
from executor.sandbox.options import Addresses
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from executor.spec import RunSpec
from tests.engine.server import Template, environment, manage, pause_container
from tests.fakes.contract import World
from tests.fakes.specs import make_binding

HOST = "test-host"
RUNS = """
from datetime import timedelta
from django.utils import timezone
from cronium_admin.jobs.models import Job
from cronium_admin.profiles.models import Profile
from cronium_admin.runs.models import Run
from cronium_admin.runs.launch import launch
from tests.users import get_admin
profile = Profile.objects.get(name="small")
job = Job.objects.create(name="x", slug="x", language="bash", script="true", profile=profile)
# Later than now: a busy machine takes longer to look than the reaper waits for a run that has just ended.
later = timezone.now() + timedelta(hours=1)
for status in ("running", "succeeded"):
    run = launch(job, get_admin())
    Run.objects.filter(pk=run.pk).update(status=status, host="local", finished_at=later)
    print(run.pk)
"""


@pytest.fixture
def world(bash_image: str) -> Iterator[World]:
    engine = Engine(os.environ.get("CRONIUM_DOCKER_HOST", ""))
    made = World(engine, bash_image, "cronium/runtime-api:latest", SubnetPool(IPv4Network("10.215.3.0/24")))
    yield made
    made.clear()


@pytest.fixture
def stranger(docker_client: docker.APIClient, bash_image: str) -> Iterator[Callable[[str], str]]:
    """Starts a container without Cronium's labels."""
    with ExitStack() as stack:

        def make(name: str) -> str:
            docker_client.create_container(bash_image, ["sleep", "300"], name=name, host_config={"Init": True})
            stack.callback(docker_client.remove_container, name, force=True)
            docker_client.start(name)
            return name

        yield make


def nobody(run_ids: Set[str]) -> Set[str]:
    """No run is active."""
    return frozenset()


def reaped(world: World, living: Callable[[Set[str]], Set[str]] = nobody) -> set[str]:
    """The names of the objects that garbage collection of this instance has removed."""
    return {one.name for one in collect_leftovers(world.engine, world.instance, HOST, living)}


def names(spec: RunSpec) -> set[str]:
    return {naming.name_main(spec.run_id), naming.name_network(spec.run_id)}


def until_it_is(world: World, name: str, status: str) -> None:
    end = time.monotonic() + 20
    while world.engine.inspect(name).status != status:
        assert time.monotonic() < end, f"{name} is never {status}"
        time.sleep(0.02)


def put_in_state(world: World, client: docker.APIClient, status: str) -> RunSpec:
    """A main container in this state."""
    spec = world.spec()
    name = naming.name_main(spec.run_id)
    body = options.build_main_container(spec, world.network(spec), world.engine.log_driver)
    if status in ("exited", "restarting"):
        body["Entrypoint"] = ["/bin/sh", "-c", "exit 1"]
    if status == "restarting":
        body["HostConfig"]["RestartPolicy"] = {"Name": "always"}
    world.engine.create_container(name, body)
    if status != "created":
        client.start(name)
    if status == "paused":
        pause_container(client, name)
    until_it_is(world, name, status)
    return spec


@pytest.mark.parametrize("status", ["created", "running", "paused", "exited", "restarting"])
def test_a_container_goes_in_every_state_and_its_subnet_is_free_again(
    world: World, docker_client: docker.APIClient, status: str
) -> None:
    spec = put_in_state(world, docker_client, status)
    told = world.engine.describe_network(naming.name_network(spec.run_id))
    began = time.monotonic()
    assert reaped(world) == names(spec)
    assert time.monotonic() - began < 9.5  # no script is given its ten seconds of grace
    assert reaped(world) == set()
    again = IPv4Network(told["IPAM"]["Config"][0]["Subnet"])
    world.engine.create_network(options.build_network(world.spec(), Addresses(again)))


def test_a_network_that_a_stranger_is_on_goes_and_the_stranger_stays(
    world: World, docker_client: docker.APIClient, stranger: Callable[[str], str]
) -> None:
    spec, name = world.main()
    world.engine.start(name)
    guest = stranger(f"cronium-main-{uuid.uuid4()}")
    docker_client.connect_container_to_network(guest, naming.name_network(spec.run_id))
    assert reaped(world) == names(spec)
    told = world.engine.describe_container(guest)
    assert (told["State"]["Status"], set(told["NetworkSettings"]["Networks"])) == ("running", {"bridge"})


def test_what_is_anothers_or_lives_or_only_looks_like_ours_stays(
    world: World, docker_client: docker.APIClient, stranger: Callable[[str], str]
) -> None:
    kept = [world.main(**whose)[0] for whose in ({"instance": world.instance + "2"}, {"host": HOST + "2"}, {})]
    spec = world.spec()
    alike = stranger(naming.name_main(spec.run_id))
    docker_client.create_network(naming.name_network(spec.run_id))  # without a label
    left, _ = world.main()
    living = kept[2].run_id
    assert reaped(world, lambda run_ids: run_ids & {living}) == names(left)
    for one in kept:
        assert world.engine.inspect(naming.name_main(one.run_id)).status == "created"
        world.engine.describe_network(naming.name_network(one.run_id))
    assert world.engine.inspect(alike).is_running
    world.engine.describe_network(naming.name_network(spec.run_id))


@pytest.fixture
def copied(docker_client: docker.APIClient) -> Iterator[Callable[[RunSpec, str], str]]:
    """Starts a container from an image that `docker commit` made of a run's container; it has the run's labels."""
    with ExitStack() as stack:

        def make(spec: RunSpec, name: str) -> str:
            image = docker_client.commit(naming.name_main(spec.run_id))["Id"]
            stack.callback(docker_client.remove_image, image, force=True)
            if name == naming.name_main(spec.run_id):
                docker_client.remove_container(name)
            docker_client.create_container(image, [], entrypoint=["sleep", "300"], name=name)
            stack.callback(docker_client.remove_container, name, force=True)
            docker_client.start(name)
            return name

        yield make


def test_a_container_of_an_image_made_of_a_run_stays(world: World, copied: Callable[[RunSpec, str], str]) -> None:
    """Under a free name, and under the name of a run; the labels come from the image."""
    spec, _ = world.main()
    own = copied(spec, f"keep-{uuid.uuid4().hex[:8]}")
    labels = world.engine.describe_container(own)["Config"]["Labels"]
    assert naming.build_labels(spec, "main").items() <= labels.items(), "the image hands no label on"
    other, name = world.main()
    copied(other, name)
    assert reaped(world) == names(spec) | {naming.name_network(other.run_id)}
    sandbox = Sandbox(world.engine, other.sandbox, world.pool)
    with pytest.raises(SandboxGone, match="not the one"):
        sandbox.adopt(make_binding(other))
    sandbox.stop_main()
    assert sandbox.take_down()
    assert not sandbox.can_main_run()
    assert world.engine.inspect(own).is_running
    assert world.engine.inspect(name).is_running


def test_a_run_whose_image_was_made_of_another_run_is_reaped(world: World, docker_client: docker.APIClient) -> None:
    first, name = world.main()
    image = docker_client.commit(name)["Id"]
    try:
        second, _ = world.main(image=image)
        assert reaped(world) == names(first) | names(second)
    finally:
        world.clear()
        docker_client.remove_image(image, force=True)


def test_a_network_that_copies_labels_stays(world: World, docker_client: docker.APIClient) -> None:
    spec = world.spec()
    name = f"keep-{uuid.uuid4().hex[:8]}"
    docker_client.create_network(name, labels=naming.build_labels(spec, "network"))
    try:
        assert reaped(world) == set()
        world.engine.describe_network(name)
    finally:
        world.engine.remove_network(name)


def test_the_command_lists_and_then_removes_what_no_run_needs(world: World, template: Template, tmp_path: Path) -> None:
    """Objects of an active run, or of a run that has just ended, stay."""
    template.copy_to(tmp_path)
    env = environment(tmp_path)
    running, ended = manage(env, "shell", "-v", "0", "-c", RUNS).split()
    assert manage(env, "reap") == "Host local has no leftover objects.\n"
    world.instance = (tmp_path / "instance_id").read_text().strip()
    for run_id in (running, ended):
        world.main(host="local", run_id=run_id)
    left, _ = world.main(host="local")
    listed = manage(env, "reap", "--dry-run")
    assert {line.split()[3] for line in listed.splitlines()} == names(left), listed
    world.engine.inspect(naming.name_main(left.run_id))
    removed = manage(env, "reap")
    assert removed == listed.replace("would remove", "removed")
    assert {one.run_id for one in world.engine.list_own_objects(world.instance)} == {running, ended}
