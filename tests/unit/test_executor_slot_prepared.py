"""A run in a sandbox that waited for it, on the fake engine; and what happens when that sandbox cannot be used."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor import naming
from executor.docker.errors import EngineError
from executor.run.outcome import CANCEL
from executor.run.slot import Slot
from executor.run.supervisor import Supervisor
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from executor.spec import RunSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import Remembering, make_spec


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine(("runner:bash", "runner:other", "sidecar:latest"))
    yield made
    assert made.left == [], "something is left on the engine"
    made.close()


@pytest.fixture
def pool() -> SubnetPool:
    return SubnetPool(IPv4Network("10.215.0.0/28"))  # two subnets


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.sandbox.sandbox.MAIN_GRACE", 1)


def prepare(engine: FakeEngine, spec: RunSpec, pool: SubnetPool) -> Sandbox:
    sandbox = Sandbox(engine, spec.sandbox, pool)
    sandbox.prepare()
    return sandbox


def run(engine: FakeEngine, spec: RunSpec, pool: SubnetPool, prepared: Sandbox) -> Remembering:
    told = Remembering()
    builds = threading.Semaphore(2)
    Slot(engine, spec, told, pool, builds, prepared=prepared).run()
    assert told.result is not None
    assert builds.acquire(blocking=False)
    return told


@pytest.mark.parametrize("network", ["isolated", "none", "open"])
def test_the_run_creates_nothing_and_waits_for_no_build(engine: FakeEngine, pool: SubnetPool, network: str) -> None:
    spec = make_spec(network=network, epoch=1)
    prepared = prepare(engine, spec, pool)
    created = engine.calls["create_container"]
    told = Remembering()
    nobody_may_build = threading.Semaphore(0)
    Slot(engine, spec, told, pool, nobody_may_build, prepared=prepared).run()
    assert told.result is not None
    assert told.result.status == "succeeded", told.result.message
    assert told.log() == b"hello\n"
    assert told.cold == []
    assert engine.calls["create_container"] == created
    assert told.events[-2:] == ["finish", "cleaned"]
    assert told.report


def break_sidecar(engine: FakeEngine, spec: RunSpec) -> None:
    engine.stop(naming.name_sidecar(spec.run_id), 1)
    time.sleep(0.2)


def break_main(engine: FakeEngine, spec: RunSpec) -> None:
    engine.stop(naming.name_main(spec.run_id), 1)


def move_tag(engine: FakeEngine, spec: RunSpec) -> None:
    engine.tags["runner:bash"] = "runner:other"


def fail_engine(engine: FakeEngine, spec: RunSpec) -> None:
    engine.fail("describe_image", EngineError("the disk is full"), 1)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [(break_sidecar, "defect"), (break_main, "defect"), (move_tag, "sandbox_mismatch"), (fail_engine, "engine_error")],
)
def test_one_that_cannot_be_used_is_removed_and_the_run_gets_a_new_one(
    engine: FakeEngine, pool: SubnetPool, break_it: Any, reason: str
) -> None:
    spec = make_spec(epoch=1)
    prepared = prepare(engine, spec, pool)
    first = engine.inspect(naming.name_main(spec.run_id)).id
    break_it(engine, spec)
    told = run(engine, spec, pool, prepared)
    assert told.result is not None
    assert told.result.status == "succeeded", told.result.message
    assert told.log() == b"hello\n"
    assert [kind for kind, _ in told.cold] == [reason]
    assert told.events.count("may_begin") == 1
    assert first not in {container.id for container in engine.containers.values()}


def test_a_stem_gets_the_main_of_the_run(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec(epoch=1, script="echo $WORD", env={"WORD": "hi"})
    stem = Sandbox(engine, replace(spec.sandbox, image="", language=""), pool)
    stem.prepare_stem()
    told = run(engine, spec, pool, stem)
    assert told.cold == []
    assert told.log() == b"hi\n"
    assert told.result is not None
    assert told.result.status == "succeeded"


def test_one_of_another_shape_is_removed(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec(epoch=1)
    prepared = prepare(engine, replace(spec, read_only_root=False), pool)
    told = run(engine, spec, pool, prepared)
    assert told.cold[0][0] == "sandbox_mismatch"
    assert "read only root" in told.cold[0][1]
    assert told.result is not None
    assert told.result.status == "succeeded"


def test_one_that_drifted_is_removed(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec(epoch=1)

    def make_privileged(name: str, told: dict[str, Any]) -> None:
        if name == naming.name_main(spec.run_id):
            told["HostConfig"]["Privileged"] = True

    def end_drift() -> None:
        engine.twist = lambda name, told: None

    prepared = prepare(engine, spec, pool)
    engine.twist, engine.before["remove_container"] = make_privileged, end_drift
    told = run(engine, spec, pool, prepared)
    assert [kind for kind, _ in told.cold] == ["sandbox_drift"]
    assert told.result is not None
    assert told.result.status == "succeeded"


def test_the_log_can_be_followed_again_in_the_new_sandbox(engine: FakeEngine, pool: SubnetPool) -> None:
    """The follower connects to the sandbox that runs the script, not to the one that was removed."""
    spec = make_spec(epoch=1, script="echo one; sleep 0.3; echo two")
    prepared = prepare(engine, spec, pool)
    break_sidecar(engine, spec)
    engine.cut_output_after = len(b"one\n") + 8
    told = run(engine, spec, pool, prepared)
    assert told.result is not None
    assert told.log() == b"one\ntwo\n"


def test_a_cancel_before_the_binding_ends_the_run_and_builds_nothing(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec(epoch=1)
    prepared = prepare(engine, spec, pool)
    told = Remembering()
    slot = Slot(engine, spec, told, pool, threading.Semaphore(1), prepared=prepared)
    slot.stop(CANCEL)
    created = engine.calls["create_container"]
    slot.run()
    assert told.result is not None
    assert told.result.status == "cancelled"
    assert told.cold == []
    assert engine.calls["create_container"] == created


def test_a_release_before_the_binding_requeues_the_run(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec(epoch=1)
    prepared = prepare(engine, spec, pool)
    told = Remembering()
    slot = Slot(engine, spec, told, pool, threading.Semaphore(1), prepared=prepared)
    slot.release()
    slot.run()
    assert told.result is None
    assert told.events == ["requeue"]


def test_the_subnets_of_one_that_was_replaced_are_free_again(engine: FakeEngine, pool: SubnetPool) -> None:
    for _ in range(3):
        spec = make_spec(epoch=1)
        prepared = prepare(engine, spec, pool)
        break_sidecar(engine, spec)
        assert run(engine, spec, pool, prepared).result
    assert [pool.take(), pool.take(), pool.take()].count(None) == 1


def test_the_supervisor_gives_it_to_the_slot(engine: FakeEngine, pool: SubnetPool) -> None:
    supervisor = Supervisor(engine, 1, pool, lambda: None)
    spec = make_spec(epoch=1)
    prepared = prepare(engine, spec, pool)
    told = Remembering()
    supervisor.start(spec, told, prepared=prepared)
    told.wait_for("cleaned")
    assert told.cold == []
    assert told.log() == b"hello\n"
    supervisor.close(5)


def test_without_a_thread_the_prepared_sandbox_ends_by_itself(
    engine: FakeEngine, pool: SubnetPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(engine, 1, pool, lambda: None)
    spec = make_spec(epoch=1)
    prepared = prepare(engine, spec, pool)
    main = engine.containers[naming.name_main(spec.run_id)]

    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("slot-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            supervisor.start(spec, Remembering(), prepared=prepared)
    assert main.gone.wait(10)
    assert supervisor.list_active() == frozenset()
    assert prepared.take_down()
    supervisor.close(1)
