"""The contract of an engine, on which a sandbox relies: the same tests for the fake and the real engine.

A module that imports them provides a fixture `world` with the engine and its images.
"""

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor import naming
from executor.docker.attachment import Attachment
from executor.docker.errors import AddressTaken, Conflict, EngineError, ImageMissing, NotFound
from executor.docker.frames import FrameParser
from executor.docker.protocol import EngineLike
from executor.output.resume import ResumedLog, StoredLog
from executor.run import payload
from executor.sandbox import bootstrap, inspection, options
from executor.sandbox.options import Addresses
from executor.sandbox.subnets import SubnetPool
from executor.spec import Cursor, RunSpec
from tests.fakes.specs import make_spec

BORDERS = (16_383, 16_384, 16_385, 40_000)  # the engine keeps a longer line in parts of 16 KiB


@dataclass
class World:
    """An engine, its images, and the objects that a test created."""

    engine: EngineLike
    image: str
    sidecar_image: str
    pool: SubnetPool
    instance: str = field(default_factory=lambda: f"contract-{uuid.uuid4().hex[:8]}")
    specs: list[RunSpec] = field(default_factory=list)
    held: list[Attachment] = field(default_factory=list)  # connections that stay open

    def spec(self, **changes: Any) -> RunSpec:
        names = {"instance": self.instance, "image": self.image, "sidecar_image": self.sidecar_image}
        made = make_spec(**(names | changes))
        self.specs.append(made)
        return made

    def network(self, spec: RunSpec) -> Addresses:
        """Creates a network for `spec`, on the next free subnet."""
        return self.network_of(lambda addresses: options.build_network(spec, addresses))

    def network_of(self, body_of: Callable[[Addresses], dict[str, Any]]) -> Addresses:
        for _ in range(50):
            subnet = self.pool.take()
            assert subnet is not None
            with suppress(AddressTaken):
                self.engine.create_network(body_of(Addresses(subnet)))
                return Addresses(subnet)
        raise AssertionError("no subnet was free")

    def main(self, **changes: Any) -> tuple[RunSpec, str]:
        """Creates a main container on a network of its own."""
        spec = self.spec(**{"joined_network": False, **changes})
        name = naming.name_main(spec.run_id)
        body = options.build_main_container(spec, self.network(spec), self.engine.log_driver)
        self.engine.create_container(name, body)
        return spec, name

    def run(self, script: str, send: Callable[[bytes], bytes] = bytes) -> tuple[str, bytes, bytes]:
        """Runs `script` to its end; returns the container's name, stdout and stderr."""
        spec, name = self.main(script=script)
        output = self.engine.attach(name, stdin=False, output=True)
        stdin = self.engine.attach(name, stdin=True, output=False)
        self.engine.start(name)
        stdin.send(send(payload.build_payload(spec)))
        stdin.close_write()
        stdin.close()
        frames, text = FrameParser(), {1: b"", 2: b""}
        while block := output.recv(65536, 30):
            for stream, data in frames.feed(block):
                text[stream] += data
        assert block == b"", "the stream ends with the container"
        output.close()
        return name, text[1], text[2]

    def settled(self, name: str) -> int:
        """The exit code, after the engine reports that the container has exited."""
        end = time.monotonic() + 15
        while (state := self.engine.inspect(name)).is_running and time.monotonic() < end:
            self.engine.wait(name, 1)
        assert not state.is_running
        return state.exit_code

    def clear(self) -> None:
        for attachment in self.held:
            attachment.close()
        for spec in self.specs:
            for name in (naming.name_main(spec.run_id), naming.name_sidecar(spec.run_id)):
                self.engine.remove_container(name)
            for name in (naming.name_network(spec.run_id), naming.name_egress_network(spec.run_id)):
                self.engine.remove_network(name)
        assert self.engine.list_own_objects(self.instance) == []


def test_it_answers(world: World) -> None:
    world.engine.ping()
    assert world.engine.version
    assert world.engine.log_driver in ("local", "json-file")


def test_an_image_has_a_digest_and_a_missing_one_a_sentence(world: World) -> None:
    digest = world.engine.describe_image(world.image).id
    assert digest.startswith("sha256:")
    assert world.engine.describe_image(digest).id == digest
    with pytest.raises(ImageMissing, match="not-there"):
        world.engine.describe_image("cronium/not-there:1")


def test_its_images_are_listed_with_names_digest_and_size(world: World) -> None:
    listed = {name: image for image in world.engine.list_images() for name in image.references}
    assert listed[world.image].id == world.engine.describe_image(world.image).id
    assert listed[world.image].size > 0
    assert world.sidecar_image in listed
    assert not any(name.startswith("<none>") for name in listed)


def test_a_created_container_has_not_started(world: World) -> None:
    _, name = world.main()
    state = world.engine.inspect(name)
    assert (state.status, state.ever_started, state.is_running) == ("created", False, False)


def test_a_container_is_found_by_its_id_too(world: World) -> None:
    spec = world.spec(network="none")
    name = naming.name_main(spec.run_id)
    made = world.engine.create_container(name, options.build_main_container(spec, None, world.engine.log_driver))
    assert made != name
    assert world.engine.inspect(name).id == world.engine.inspect(made).id == made
    assert [one.id for one in world.engine.list_own_objects(world.instance)] == [made]
    world.engine.remove_container(made)
    with pytest.raises(NotFound):
        world.engine.inspect(name)


def test_output_comes_whole_from_both_streams_and_ends(world: World) -> None:
    name, out, err = world.run("printf 'one\\n\\ntwo'; echo problem >&2; exit 7")
    assert (out, err) == (b"one\n\ntwo", b"problem\n")
    assert world.settled(name) == 7
    state = world.engine.inspect(name)
    assert (state.status, state.oom_killed, state.ever_started) == ("exited", False, True)


def test_bytes_are_not_changed(world: World) -> None:
    _, out, _ = world.run(r"printf 'a\000b\377\r\n%20000s\n' x; head -c 300000 /dev/zero")
    assert out == b"a\x00b\xff\r\n" + b" " * 19999 + b"x\n" + bytes(300_000)


def read_log(source: ResumedLog) -> dict[int, bytes]:
    """The whole log, to its end."""
    found = {1: b"", 2: b""}
    with suppress(EOFError):
        while True:
            for stream, data, _ in source.read(30) or []:
                found[stream] += data
    return found


def test_its_own_log_has_what_the_attachment_gave_past_any_place(world: World) -> None:
    sizes = "".join(f"printf '%{size}s\\n' {letter};" for letter, size in zip("abcd", BORDERS, strict=True))
    name, out, err = world.run(rf"printf '\n\n\000\377\r\n' >&2; {sizes} echo more; printf 'no newline'; echo e >&2")
    world.settled(name)
    assert len(out) == sum(BORDERS) + 4 + len("more\nno newline")
    for places in ((0, 0), (1, 1), (16_384, 3), (20_000, 8), (len(out) - 1, len(err)), (len(out), 0)):
        stdout, stderr = (Cursor(text[:at].count(b"\n"), at) for text, at in zip((out, err), places, strict=True))
        source = ResumedLog(world.engine, name, StoredLog(stdout, stderr))
        assert read_log(source) == {1: out[places[0] :], 2: err[places[1] :]}
        assert not source.has_gap


def test_a_running_containers_log_is_followed_to_its_last_words(world: World) -> None:
    spec, name = world.main(script="echo one; sleep 1; printf 'last words'")
    stdin = world.engine.attach(name, stdin=True, output=False)
    world.engine.start(name)
    stdin.send(payload.build_payload(spec))
    stdin.close_write()
    began, source = time.time_ns(), ResumedLog(world.engine, name, StoredLog())
    while not (first := source.read(20)):
        pass
    assert [(stream, data) for stream, data, _ in first] == [(1, b"one\n")]
    assert abs(first[0][2] - began) < 20e9
    assert read_log(source) == {1: b"last words", 2: b""}
    assert not world.engine.inspect(name).is_running


def test_a_payload_that_does_not_arrive_whole_runs_nothing(world: World) -> None:
    name, out, err = world.run("echo it ran", send=lambda whole: whole[:-1])
    assert out == b""
    assert b"did not arrive" in err
    assert world.settled(name) == bootstrap.NOT_RECEIVED


def test_a_container_starts_once(world: World) -> None:
    name, _, _ = world.run("true")
    world.settled(name)
    with pytest.raises(Conflict):
        world.engine.start(name)


def test_a_name_is_taken_once(world: World) -> None:
    spec, name = world.main()
    subnet = world.pool.take()
    assert subnet is not None
    with pytest.raises(Conflict):
        world.engine.create_container(
            name, options.build_main_container(spec, Addresses(subnet), world.engine.log_driver)
        )


def test_a_container_of_a_missing_image_says_so(world: World) -> None:
    with pytest.raises(ImageMissing, match="not-there"):
        world.main(image="cronium/not-there:1")


@pytest.mark.parametrize(("trap", "within", "code"), [("exit 5", 5.0, 5), ("", 8.0, 137)])
def test_stop_asks_and_then_kills(world: World, trap: str, within: float, code: int) -> None:
    """A script that obeys SIGTERM ends by itself; a script that ignores it is killed after the grace period."""
    spec, name = world.main(script=f"trap '{trap}' TERM; echo up; while :; do sleep 0.1; done")
    output = world.engine.attach(name, stdin=False, output=True)
    stdin = world.engine.attach(name, stdin=True, output=False)
    world.engine.start(name)
    stdin.send(payload.build_payload(spec))
    stdin.close_write()
    frames, seen = FrameParser(), b""
    while b"up" not in seen:
        seen += b"".join(data for _, data in frames.feed(output.recv(1000, 20) or b""))
    began = time.monotonic()
    world.engine.stop(name, 2)
    assert time.monotonic() - began < within
    state = world.engine.inspect(name)
    assert (state.is_running, state.exit_code) == (False, code)
    output.close()
    stdin.close()


def test_stop_and_wait_of_what_does_not_run_do_no_harm(world: World) -> None:
    _, name = world.main()
    world.engine.stop(name, 1)
    world.engine.stop("cronium-main-gone", 1)
    world.engine.wait("cronium-main-gone", 1)


def test_removal_may_come_twice_and_kills_what_runs(world: World) -> None:
    _, name = world.main()
    world.engine.attach(name, stdin=True, output=False)
    world.engine.start(name)
    world.engine.remove_container(name)
    world.engine.remove_container(name)
    with pytest.raises(NotFound):
        world.engine.inspect(name)


@pytest.mark.parametrize("call", ["inspect", "start", "attach", "read_usage", "open_log"])
def test_what_does_not_exist_is_not_found(world: World, call: str) -> None:
    more = {"attach": {"stdin": False, "output": True}, "open_log": {"follow": True}}.get(call, {})
    with pytest.raises(NotFound):
        getattr(world.engine, call)("cronium-main-gone", **more)


def test_a_network_is_made_once_and_removed_twice(world: World) -> None:
    spec = world.spec()
    world.network(spec)
    subnet = world.pool.take()
    assert subnet is not None
    with pytest.raises(Conflict):
        world.engine.create_network(options.build_network(spec, Addresses(subnet)))
    world.engine.remove_network(naming.name_network(spec.run_id))
    world.engine.remove_network(naming.name_network(spec.run_id))


def test_a_subnet_that_is_taken_is_refused_as_such(world: World) -> None:
    addresses = world.network(world.spec())
    with pytest.raises(AddressTaken):
        world.engine.create_network(options.build_network(world.spec(), addresses))


@pytest.mark.parametrize("prefix", [29, 28, 16])
def test_any_overlap_is_refused_as_such(world: World, prefix: int) -> None:
    subnet = world.network(world.spec()).subnet
    wider = Addresses(IPv4Network((int(subnet.network_address) & ~(2 ** (32 - prefix) - 1), prefix)))
    with pytest.raises(AddressTaken):
        world.engine.create_network(options.build_network(world.spec(), wider))
    assert subnet in world.engine.list_subnets()


def test_another_error_of_a_network_is_no_overlap(world: World) -> None:
    def body_of(addresses: Addresses) -> dict[str, Any]:
        body = options.build_network(world.spec(), addresses)
        return body | {"Options": {"com.docker.network.bridge.name": "a-name-that-the-kernel-refuses"}}

    with pytest.raises(EngineError) as caught:
        world.network_of(body_of)
    assert not isinstance(caught.value, AddressTaken)
    before = world.engine.list_subnets()
    world.network(world.spec())
    assert len(world.engine.list_subnets() - before) == 1


def test_a_network_with_a_running_container_can_be_removed(world: World) -> None:
    spec, name = world.main()
    world.engine.attach(name, stdin=True, output=False)
    world.engine.start(name)
    world.engine.remove_network(naming.name_network(spec.run_id))
    assert [one.kind for one in world.engine.list_own_objects(world.instance)] == ["container"]


def test_a_created_container_takes_a_second_network_that_can_be_removed_under_it(world: World) -> None:
    spec, name = world.main()
    second = naming.name_egress_network(spec.run_id)
    addresses = world.network_of(lambda addresses: options.build_egress_network(spec, addresses))
    world.engine.connect_network(name, second, addresses.sidecar)
    told = world.engine.describe_container(name)["NetworkSettings"]["Networks"]
    assert set(told) == {naming.name_network(spec.run_id), second}
    assert told[second]["IPAMConfig"]["IPv4Address"] == str(addresses.sidecar)
    world.engine.attach(name, stdin=True, output=False)
    world.engine.start(name)
    world.engine.remove_network(second)
    assert second not in {one.name for one in world.engine.list_own_objects(world.instance)}


def start_sidecar(world: World, spec: RunSpec) -> tuple[str, str]:
    """A running sidecar without a network; its name and id."""
    name = naming.name_sidecar(spec.run_id)
    made = world.engine.create_container(name, options.build_sidecar_container(spec, None))
    world.held.append(world.engine.attach(name, stdin=True, output=False))
    world.engine.start(name, is_new=True)
    return name, made


def test_a_running_container_without_a_network_is_connected_to_one(world: World) -> None:
    spec = world.spec()
    name, _ = start_sidecar(world, spec)
    network, addresses = naming.name_network(spec.run_id), world.network(spec)
    with pytest.raises(EngineError):
        world.engine.connect_network(name, network, addresses.sidecar, ("runtime-api",))
    world.engine.disconnect_network(name, "none")
    world.engine.connect_network(name, network, addresses.sidecar, ("runtime-api",))
    (endpoint,) = world.engine.describe_container(name)["NetworkSettings"]["Networks"].items()
    assert endpoint[0] == network
    assert endpoint[1]["IPAMConfig"]["IPv4Address"] == str(addresses.sidecar)
    assert "runtime-api" in endpoint[1]["Aliases"]
    assert [one["Name"] for one in world.engine.describe_network(network)["Containers"].values()] == [name]
    world.engine.remove_network(network)
    assert [one.kind for one in world.engine.list_own_objects(world.instance)] == ["container"]


def test_a_container_joins_the_network_namespace_of_a_running_one_and_survives_it(world: World) -> None:
    spec = world.spec(script="sleep 1; echo it lives")
    sidecar = naming.name_sidecar(spec.run_id)
    sidecar_id = world.engine.create_container(sidecar, options.build_sidecar_container(spec, None))
    name, driver = naming.name_main(spec.run_id), world.engine.log_driver
    world.engine.create_container(name, options.build_main_container(spec, None, driver, sidecar_id=sidecar_id))
    with pytest.raises(EngineError):
        world.engine.start(name, is_new=True)  # not before the other runs
    output = world.engine.attach(name, stdin=False, output=True)
    stdin = world.engine.attach(name, stdin=True, output=False)
    world.held.append(world.engine.attach(sidecar, stdin=True, output=False))
    world.engine.start(sidecar)
    world.engine.start(name, is_new=True)
    told = world.engine.describe_container(name)
    assert told["NetworkSettings"]["Networks"] == {}
    assert told["HostConfig"]["NetworkMode"] == f"container:{sidecar_id}"
    assert world.engine.describe_container(sidecar)["Id"] == sidecar_id
    stdin.send(payload.build_payload(spec))
    stdin.close_write()
    world.engine.remove_container(sidecar)
    frames, text = FrameParser(), b""
    while block := output.recv(65536, 30):
        text += b"".join(data for _, data in frames.feed(block))
    assert text == b"it lives\n"
    assert world.settled(name) == 0


def test_a_connection_is_at_its_end_with_its_container(world: World) -> None:
    _, name = world.main()
    output = world.engine.attach(name, stdin=False, output=True)
    stdin = world.engine.attach(name, stdin=True, output=False)
    world.engine.start(name)
    assert not output.is_at_end()
    assert not stdin.is_at_end()
    world.engine.remove_container(name)
    assert output.recv(1000, 10) == b""
    assert output.is_at_end()
    stdin.close()
    assert stdin.is_at_end()


def test_who_is_not_there_is_connected_to_nothing(world: World) -> None:
    spec = world.spec()
    addresses = world.network(spec)
    with pytest.raises(NotFound):
        world.engine.connect_network("cronium-main-gone", naming.name_network(spec.run_id), addresses.main)


def test_a_container_without_a_network_starts(world: World) -> None:
    spec = world.spec(network="none")
    name = naming.name_main(spec.run_id)
    world.engine.create_container(name, options.build_main_container(spec, None, world.engine.log_driver))
    world.engine.attach(name, stdin=True, output=False)
    world.engine.start(name)
    assert world.engine.inspect(name).ever_started
    assert set(world.engine.describe_container(name)["NetworkSettings"]["Networks"]) == {"none"}


def test_only_what_carries_our_label_is_ours(world: World) -> None:
    spec, name = world.main()
    found = {
        (one.kind, one.name, one.run_id, one.role, one.host) for one in world.engine.list_own_objects(world.instance)
    }
    assert found == {
        ("container", name, spec.run_id, "main", "test-host"),
        ("network", naming.name_network(spec.run_id), spec.run_id, "network", "test-host"),
    }
    assert world.engine.list_own_objects(world.instance + "-other") == []


def test_labels_without_the_name_make_nothing_ours(world: World) -> None:
    """Anybody can copy the labels."""
    spec, name = world.main()
    other = f"somebodys-{spec.run_id}"
    body = options.build_main_container(world.spec(network="none"), None, world.engine.log_driver)
    world.engine.create_container(other, body | {"Labels": naming.build_labels(spec, "main")})
    world.network_of(lambda addresses: options.build_egress_network(spec, addresses) | {"Name": other})
    try:
        found = {one.name for one in world.engine.list_own_objects(world.instance)}
        assert found == {name, naming.name_network(spec.run_id)}
    finally:
        world.engine.remove_container(other)
        world.engine.remove_network(other)


def test_a_state_has_its_labels_and_its_image(world: World) -> None:
    spec, name = world.main()
    state = world.engine.inspect(name)
    assert state.image_id == world.engine.describe_image(world.image).id
    assert naming.build_labels(spec, "main").items() <= dict(state.labels).items()


def test_closing_an_attachment_wakes_its_reader(world: World) -> None:
    _, name = world.main()
    output = world.engine.attach(name, stdin=False, output=True)
    assert output.recv(1000, 0.05) is None
    output.close()
    output.close()
    assert output.recv(1000, 5) == b""


def test_what_it_says_of_what_it_made_is_what_was_asked(world: World) -> None:
    spec, name = world.main()
    network = naming.name_network(spec.run_id)
    subnet = world.engine.describe_network(network)["IPAM"]["Config"][0]["Subnet"]
    addresses = Addresses(IPv4Network(subnet))
    asked = {
        network: options.build_network(spec, addresses),
        name: options.build_main_container(spec, addresses, world.engine.log_driver),
    }
    found = {network: world.engine.describe_network(network), name: world.engine.describe_container(name)}
    rows = inspection.build_rows(
        spec, asked, found, world.engine.default_runtime, world.engine.describe_image(spec.image).id
    )
    assert [row for row in rows if row.drift] == []
    assert {row.of for row in rows} == {"main", "network"}
    assert world.engine.default_runtime in world.engine.list_runtimes()


@pytest.mark.parametrize("call", ["describe_container", "describe_network"])
def test_what_is_gone_can_not_be_described(world: World, call: str) -> None:
    with pytest.raises(NotFound):
        getattr(world.engine, call)("cronium-gone")
