"""A sandbox in two halves, on the fake engine: prepared for a shape, and bound to a run later, or at once."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor import naming
from executor.docker.attachment import Attachment
from executor.docker.errors import EngineError, SandboxDefect, SandboxDrift, SandboxMismatch, SidecarUnhealthy
from executor.docker.frames import FrameParser
from executor.run.payload import build_payload
from executor.run.slot import Slot
from executor.sandbox import inspection
from executor.sandbox.bootstrap import NOT_RECEIVED
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.shape import find_shape_digest, find_stem_digest
from executor.sandbox.sidecar_channel import SidecarChannel
from executor.sandbox.subnets import SubnetPool
from executor.sandbox.topology import choose_topology
from executor.spec import Reply, RunSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import Remembering, make_binding, make_spec

NETWORKS = ["isolated", "none", "egress", "open"]


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine(("runner:bash", "runner:other", "sidecar:latest"))
    yield made
    made.close()


@pytest.fixture
def pool() -> SubnetPool:
    return SubnetPool(IPv4Network("10.215.0.0/28"))  # two subnets


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("wait_ready", "wait_loaded"):
        monkeypatch.setattr(f"executor.sandbox.sidecar_channel.SidecarChannel.{name}.__defaults__", (0.3,))


def prepared(engine: FakeEngine, spec: RunSpec, pool: SubnetPool) -> Sandbox:
    made = Sandbox(engine, spec.shape.make_sandbox_spec(spec.run_id, spec.epoch), pool)
    made.prepare()
    return made


def received(engine: FakeEngine, spec: RunSpec) -> list[Any]:
    """The lines that the sidecar has read."""
    return [json.loads(line) for line in engine.read_by_sidecar.get(naming.name_sidecar(spec.run_id), ())]


def output_of(sandbox: Sandbox) -> bytes:
    assert sandbox.output is not None
    frames, text = FrameParser(), b""
    while block := sandbox.output.recv(65536, 10):
        text += b"".join(data for _, data in frames.feed(block))
    return text


@pytest.mark.parametrize("network", NETWORKS)
def test_a_prepared_sandbox_runs_the_run_that_it_is_given(engine: FakeEngine, pool: SubnetPool, network: str) -> None:
    spec = make_spec(network=network, script="echo $WORD $KEY", env={"WORD": "hi"}, secrets={"KEY": "k"}, epoch=1)
    sandbox = prepared(engine, spec, pool)
    assert inspection.describe_violations(sandbox.build_report()) == ""
    assert received(engine, spec) == []
    answers: list[str] = []

    def answer(operation: str, body: Any) -> Reply:
        answers.append(operation)
        return Reply(data=1)

    sandbox.bind(make_binding(spec, answer))
    if network != "none":
        (configuration,) = received(engine, spec)
        assert configuration["token_sha256"] == hashlib.sha256(spec.token.encode()).hexdigest()
        assert configuration["run_id"] == spec.run_id
        assert engine.ask(spec.run_id, "output", {})["ok"] is True
        assert answers == ["output"]
    sandbox.send_payload(build_payload(spec))
    assert output_of(sandbox) == b"hi k\n"
    assert sandbox.inspect_main().exit_code == 0
    assert sandbox.take_down()
    assert engine.left == []


@pytest.mark.parametrize("network", NETWORKS)
def test_a_sandbox_serves_one_run(engine: FakeEngine, pool: SubnetPool, network: str) -> None:
    spec = make_spec(network=network)
    sandbox = prepared(engine, spec, pool)
    sandbox.bind(make_binding(spec))
    with pytest.raises(SandboxMismatch, match="bound to a run already"):
        sandbox.bind(make_binding(spec))
    assert sandbox.take_down()
    cold = Sandbox(engine, spec.sandbox, pool)
    cold.prepare(make_binding(spec))
    with pytest.raises(SandboxMismatch, match="bound to a run already"):
        cold.bind(make_binding(spec))
    assert cold.take_down()


def test_of_two_threads_that_bind_one_gets_it(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec()
    sandbox = prepared(engine, spec, pool)
    meet, refused = threading.Barrier(2), []

    def bind() -> None:
        meet.wait()
        try:
            sandbox.bind(make_binding(spec))
        except SandboxMismatch:
            refused.append(1)

    threads = [threading.Thread(target=bind) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert refused == [1]
    assert len(received(engine, spec)) == 1
    assert sandbox.take_down()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"run_id": "another"}, "prepared for .*, epoch 0, and not for another, epoch 0"),
        ({"epoch": 2}, "epoch 0, and not for .*, epoch 2"),
        ({"read_only_root": False, "runtime": "runsc"}, "other settings than the run's: read only root, runtime"),
        ({"image": "runner:other"}, "other settings than the run's: image"),
        ({"limits": replace(make_spec().limits, pids=7)}, "other settings than the run's: limits"),
    ],
)
def test_a_run_of_another_shape_is_refused_and_nothing_sent(
    engine: FakeEngine, pool: SubnetPool, changes: dict[str, Any], words: str
) -> None:
    spec = make_spec()
    sandbox = prepared(engine, spec, pool)
    with pytest.raises(SandboxMismatch, match=words):
        sandbox.bind(make_binding(replace(spec, **changes)))
    assert received(engine, spec) == []
    sandbox.bind(make_binding(spec))
    assert sandbox.take_down()


@pytest.mark.parametrize("moved", ["runner:bash", "sidecar:latest"])
def test_a_tag_that_was_moved_since_is_another_shape(engine: FakeEngine, pool: SubnetPool, moved: str) -> None:
    spec = make_spec()
    sandbox = prepared(engine, spec, pool)
    engine.tags[moved] = "runner:other"
    with pytest.raises(SandboxMismatch, match="an image or the engine, which changed meanwhile"):
        sandbox.bind(make_binding(spec))
    assert sandbox.take_down()


def test_neither_is_bound_what_was_not_prepared_nor_prepared_what_is_another_run(
    engine: FakeEngine, pool: SubnetPool
) -> None:
    spec = make_spec()
    with pytest.raises(SandboxMismatch, match="not prepared"):
        Sandbox(engine, spec.sandbox, pool).bind(make_binding(spec))
    with pytest.raises(SandboxMismatch, match="created for another run"):
        Sandbox(engine, make_spec().sandbox, pool).prepare(make_binding(spec))
    assert engine.left == []


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("stop", ["abort", "take_down"])
def test_one_that_was_stopped_is_not_bound(engine: FakeEngine, pool: SubnetPool, network: str, stop: str) -> None:
    spec = make_spec(network=network)
    sandbox = prepared(engine, spec, pool)
    getattr(sandbox, stop)()
    with pytest.raises(SandboxMismatch, match="stopped before"):
        sandbox.bind(make_binding(spec))
    assert received(engine, spec) == []
    assert sandbox.take_down()


@pytest.mark.parametrize("network", NETWORKS)
def test_one_that_is_never_bound_is_removed(engine: FakeEngine, pool: SubnetPool, network: str) -> None:
    for _ in range(3):  # more than the pool has subnets
        sandbox = prepared(engine, make_spec(network=network), pool)
        assert sandbox.take_down()
        assert engine.left == []


def stem(engine: FakeEngine, spec: RunSpec, pool: SubnetPool) -> Sandbox:
    """A stem that was prepared for another image and other limits than those of `spec`."""
    other = replace(spec.sandbox, image="gone:1", language="python", limits=replace(spec.limits, pids=7))
    made = Sandbox(engine, other, pool)
    made.prepare_stem()
    return made


def whole(sandbox: Sandbox, spec: RunSpec) -> None:
    sandbox.add_main(spec.sandbox)
    assert not sandbox.is_stem
    assert sandbox.shape_digest == find_shape_digest(sandbox._engine, spec)


@pytest.mark.parametrize("add", [whole, lambda sandbox, spec: None], ids=["whole", "stem"])
def test_a_stem_fits_every_image_and_limit(engine: FakeEngine, pool: SubnetPool, add: Any) -> None:
    spec = make_spec(script="echo hi", image="runner:other", epoch=1)
    sandbox = stem(engine, spec, pool)
    assert sandbox.is_stem
    assert sandbox.shape_digest == find_stem_digest(engine, spec) != ""
    assert list(engine.containers) == [naming.name_sidecar(spec.run_id)]
    report = sandbox.build_report()
    assert not [row for row in report if row.drift]
    assert {row.of for row in report} == {"sidecar", "network"}
    add(sandbox, spec)
    assert received(engine, spec) == []
    sandbox.bind(make_binding(spec))
    assert not sandbox.is_stem
    assert len(received(engine, spec)) == 1
    assert not [row for row in sandbox.build_report() if row.drift]
    assert sandbox.image_id == engine.describe_image("runner:other").id
    sandbox.send_payload(build_payload(spec))
    assert output_of(sandbox) == b"hi\n"
    assert sandbox.take_down()
    assert engine.left == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"run_id": "another"}, "and not for another"),
        ({"epoch": 2}, "and not for .*, epoch 2"),
        ({"instance": "another"}, "run's: instance"),
        ({"host": "another"}, "run's: host"),
        ({"network": "none"}, "run's: network"),
        ({"network": "open"}, "run's: network"),
        ({"network": "egress"}, "run's: network"),
        ({"runtime": "runsc"}, "run's: runtime"),
        ({"joined_network": False}, "run's: joined network"),
        ({"sidecar_image": "runner:other"}, "run's: sidecar image"),
    ],
)
@pytest.mark.parametrize("way", ["add_main", "bind"])
def test_a_stem_of_something_else_is_refused(
    engine: FakeEngine, pool: SubnetPool, changes: dict[str, Any], words: str, way: str
) -> None:
    spec = make_spec(epoch=1)
    sandbox = stem(engine, spec, pool)
    other = replace(spec, **changes)
    with pytest.raises(SandboxMismatch, match=words):
        sandbox.bind(make_binding(other)) if way == "bind" else sandbox.add_main(other.sandbox)
    assert sandbox.is_stem
    assert received(engine, spec) == []
    sandbox.bind(make_binding(spec))
    assert sandbox.take_down()


@pytest.mark.parametrize("changes", [{"network": "egress"}, {"network": "none"}, {"joined_network": False}])
def test_there_is_no_stem_of_what_does_not_join(engine: FakeEngine, pool: SubnetPool, changes: dict[str, Any]) -> None:
    spec = make_spec(**changes)
    with pytest.raises(SandboxMismatch, match="joins"):
        Sandbox(engine, spec.sandbox, pool).prepare_stem()
    assert find_stem_digest(engine, spec) == ""
    assert engine.left == []


def test_a_main_is_added_once(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec()
    sandbox = stem(engine, spec, pool)
    sandbox.add_main(spec.sandbox)
    with pytest.raises(SandboxMismatch, match="has a main container"):
        sandbox.add_main(spec.sandbox)
    assert sandbox.take_down()


@pytest.mark.parametrize("method", ["create_container", "attach", "start", "describe_container"])
def test_a_stem_whose_main_fails_is_removed(engine: FakeEngine, pool: SubnetPool, method: str) -> None:
    spec = make_spec()
    sandbox = stem(engine, spec, pool)
    engine.fail(method, EngineError("the disk is full"), 2 if method == "describe_container" else 1)
    with pytest.raises(EngineError, match="disk is full"):
        sandbox.bind(make_binding(spec))
    assert sandbox.find_defect() == "it was stopped"
    assert sandbox.take_down()
    assert engine.left == []


def join_stranger(engine: FakeEngine, spec: RunSpec) -> None:
    engine.twist = lambda name, told: told.get("Containers", {}).update(x={"Name": "stranger"})


def add_network(engine: FakeEngine, spec: RunSpec) -> None:
    engine.containers[naming.name_sidecar(spec.run_id)].networks["bridge"] = {}


def make_privileged(engine: FakeEngine, spec: RunSpec) -> None:
    engine.twist = lambda name, told: told.get("HostConfig", {}).update(Privileged=True)


def give_memory(engine: FakeEngine, spec: RunSpec) -> None:
    engine.twist = lambda name, told: told.get("HostConfig", {}).update(Memory=1 << 30)


CHANGES = r"other containers is stranger|networks is bridge|privileged is yes|memory is 1024 MB"


@pytest.mark.parametrize("change", [join_stranger, add_network, make_privileged, give_memory])
@pytest.mark.parametrize("make", [stem, prepared])
def test_what_was_changed_while_it_waited_is_not_bound(
    engine: FakeEngine, pool: SubnetPool, make: Any, change: Any
) -> None:
    spec = make_spec()
    sandbox = make(engine, spec, pool)
    change(engine, spec)
    with pytest.raises(SandboxDrift, match=CHANGES):
        sandbox.bind(make_binding(spec))
    assert received(engine, spec) == []
    assert sandbox.take_down()


@pytest.mark.parametrize("make", [stem, prepared])
def test_a_paused_one_is_not_bound(engine: FakeEngine, pool: SubnetPool, make: Any) -> None:
    spec = make_spec()
    sandbox = make(engine, spec, pool)
    engine.twist = lambda name, told: told.get("State", {}).update(Paused=True)
    with pytest.raises(SandboxDefect, match="is paused"):
        sandbox.bind(make_binding(spec))
    assert received(engine, spec) == []
    assert sandbox.take_down()


def end_sidecar(engine: FakeEngine, spec: RunSpec) -> None:
    engine.stop(naming.name_sidecar(spec.run_id), 1)


def end_main(engine: FakeEngine, spec: RunSpec) -> None:
    engine.stop(naming.name_main(spec.run_id), 1)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("end", "words"), [(end_sidecar, "its sidecar has ended"), (end_main, "its main container")])
def test_a_defect_is_found_without_the_engine(
    engine: FakeEngine, pool: SubnetPool, network: str, end: Any, words: str
) -> None:
    spec = make_spec(network=network)
    sandbox = prepared(engine, spec, pool)
    before = engine.calls.copy()
    assert sandbox.find_defect() == ""
    assert engine.calls == before
    if (network, end) != ("none", end_sidecar):
        end(engine, spec)
        eventually(lambda: words in sandbox.find_defect())
    sandbox.abort()
    assert sandbox.find_defect() == "it was stopped"
    assert sandbox.take_down()


def eventually(is_true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_stem_waits_without_a_defect_until_its_sidecar_ends(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec()
    sandbox = stem(engine, spec, pool)
    assert sandbox.find_defect() == ""
    end_sidecar(engine, spec)
    eventually(lambda: "its sidecar has ended" in sandbox.find_defect())
    assert sandbox.take_down()


@pytest.mark.parametrize(
    ("changes", "default_runtime", "topology"),
    [
        ({}, "runc", "joined"),
        ({"runtime": "runc"}, "runsc", "joined"),
        ({}, "io.containerd.runc.v2", "joined"),
        ({}, "runsc", "apart"),
        ({"runtime": "runsc"}, "runc", "apart"),
        ({"joined_network": False}, "runc", "apart"),
        ({"network": "none"}, "runc", "apart"),
        ({"network": "egress"}, "runc", "apart"),
        ({"network": "open"}, "runc", "joined"),
        ({"network": "open"}, "runsc", "apart"),
    ],
)
def test_the_topology_follows_from_the_shape_and_the_engine(
    changes: dict[str, Any], default_runtime: str, topology: str
) -> None:
    assert choose_topology(make_spec(**changes).shape, default_runtime) == topology


def test_without_its_process_main_ends_and_runs_nothing(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec()
    sandbox = prepared(engine, spec, pool)
    sandbox.detach()
    main = engine.containers[sandbox.main]
    assert main.gone.wait(10)
    assert main.exit_code == NOT_RECEIVED


def test_a_sidecar_that_died_while_it_waited_is_reported(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec()
    sandbox = prepared(engine, spec, pool)
    engine.stop(naming.name_sidecar(spec.run_id), 1)
    with pytest.raises(SidecarUnhealthy, match="ended before the script began"):
        sandbox.bind(make_binding(spec))
    assert sandbox.take_down()


def test_the_messages_of_a_sidecar_without_a_run_are_ignored(impatient: None) -> None:
    spec, asked = make_spec(), list[str]()
    ours, theirs = (Attachment(end) for end in socket.socketpair())
    channel = SidecarChannel(ours, spec.run_id)
    request = b'{"type": "request", "id": 1, "op": "output", "body": {}}'
    for line in (b'{"type": "ready"}', request, b'{"type": "event", "kind": "network_allowed", "message": "x"}'):
        channel._receive_line(line)

    def answer(operation: str, body: Any) -> Reply:
        asked.append(operation)
        return Reply()

    channel.configure({}, make_binding(spec, answer))
    assert theirs.recv(100, 5) == b"{}\n"
    with pytest.raises(SidecarUnhealthy, match="not healthy"):
        channel.wait_ready()
    assert asked == []
    channel._receive_line(request)
    channel._receive_line(b'{"type": "ready"}')
    channel.wait_ready()
    assert asked == ["output"]
    theirs.close()
    channel.close()


def test_a_sidecar_of_an_older_image_serves_runs_and_does_not_wait_for_one(
    engine: FakeEngine, pool: SubnetPool, impatient: None
) -> None:
    """It does not report that it is loaded."""
    engine.sidecar = "old"
    told = Remembering()
    Slot(engine, make_spec(), told, pool, threading.Semaphore(1)).run()
    assert told.result is not None
    assert told.result.status == "succeeded"
    sandbox = Sandbox(engine, make_spec().sandbox, pool)
    with pytest.raises(SidecarUnhealthy, match="images build"):
        sandbox.prepare()
    assert sandbox.take_down()


def find_sidecar_image(engine: FakeEngine, sandbox: Sandbox, spec: RunSpec) -> set[str]:
    """By the create call, and by the rows of the run's report."""
    rows = [row for row in sandbox.build_report() if (row.of, row.what) == ("sidecar", "image")]
    assert [row.drift for row in rows] == [False]
    return {engine.containers[naming.name_sidecar(spec.run_id)].body["Image"], rows[0].asked, rows[0].reported}


@pytest.mark.parametrize("network", ["isolated", "egress", "open"])
def test_the_sidecar_is_pinned_by_its_id(engine: FakeEngine, pool: SubnetPool, network: str) -> None:
    spec = make_spec(network=network)
    first = engine.describe_image("sidecar:latest").id
    sandbox = Sandbox(engine, spec.sandbox, pool)
    sandbox.prepare(make_binding(spec))
    engine.tags["sidecar:latest"] = "sidecar:newer"
    assert engine.describe_image("sidecar:latest").id != first
    assert find_sidecar_image(engine, sandbox, spec) == {first}
    adopted = Sandbox(engine, spec.sandbox, pool)
    adopted.adopt(make_binding(spec))
    sidecar = engine.containers[naming.name_sidecar(spec.run_id)]
    assert sidecar.body["Image"] == first, "the run continues with the sidecar that it has"
    assert sandbox.take_down()


@pytest.mark.parametrize("is_stem", [False, True])
def test_a_waiting_sandbox_keeps_its_sidecar_and_serves_no_run_with_another(
    engine: FakeEngine, pool: SubnetPool, is_stem: bool
) -> None:
    spec = make_spec()
    first = engine.describe_image("sidecar:latest").id
    sandbox = Sandbox(engine, spec.shape.make_sandbox_spec(spec.run_id, spec.epoch), pool)
    sandbox.prepare_stem() if is_stem else sandbox.prepare()
    assert find_sidecar_image(engine, sandbox, spec) == {first}
    engine.tags["sidecar:latest"] = "sidecar:newer"
    with pytest.raises(SandboxMismatch, match="an image or the engine, which changed meanwhile"):
        sandbox.bind(make_binding(spec))
    assert find_sidecar_image(engine, sandbox, spec) == {first}
    assert received(engine, spec) == []
    assert sandbox.take_down()


def test_a_joined_sidecar_gets_its_configuration_when_its_network_is_connected(
    engine: FakeEngine, pool: SubnetPool
) -> None:
    """The engine rewrites the file of known names when it connects the network, and the sidecar looks itself up."""
    spec, early = make_spec(), []
    engine.before["connect_network"] = lambda: early.extend(received(engine, spec))
    sandbox = Sandbox(engine, spec.sandbox, pool)
    sandbox.prepare(make_binding(spec))
    assert early == []
    assert len(received(engine, spec)) == 1
    assert sandbox.take_down()


def test_the_sidecar_is_configured_while_main_starts(
    engine: FakeEngine, pool: SubnetPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, start, emit = threading.Event(), engine.start, engine._emit

    def note_ready(container: Any, stream: int, data: bytes) -> None:
        emit(container, stream, data)
        if b'"ready"' in data:
            ready.set()

    def start_when_ready(name: str, **more: bool) -> None:
        if engine._get(name).role == "main" and not ready.wait(10):
            raise EngineError("The sidecar got no configuration before main's start.")
        start(name, **more)

    monkeypatch.setattr(engine, "_emit", note_ready)
    monkeypatch.setattr(engine, "start", start_when_ready)
    told = Remembering()
    Slot(engine, make_spec(), told, pool, threading.Semaphore(1)).run()
    assert told.result is not None
    assert told.result.status == "succeeded", told.result.message
