"""One run from its spec to an empty engine, on the fake engine, with a failure at each step."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from types import SimpleNamespace
from typing import Any

import pytest

from executor import naming
from executor.docker.errors import AddressTaken, EngineError, EngineUnreachable, ImageUnusable
from executor.naming import name_main
from executor.output.stream import LEAST_LINE_BYTES
from executor.run.outcome import SHUTDOWN
from executor.run.slot import Slot
from executor.run.supervisor import Supervisor
from executor.sandbox import options
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from executor.spec import MB, Dropped, RunSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import Remembering, make_binding, make_spec

FOREVER = "echo up; while :; do sleep 0.05; done"
LANGUAGE = {"python": "python3"}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    yield made
    assert made.left == [], "something is left on the engine"
    made.close()


@pytest.fixture
def pool() -> SubnetPool:
    return SubnetPool(IPv4Network("10.215.0.0/24"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short grace periods and timeouts."""
    monkeypatch.setattr("executor.sandbox.sandbox.MAIN_GRACE", 1)
    monkeypatch.setattr("executor.sandbox.sidecar_channel.SidecarChannel.wait_ready.__defaults__", (0.3,))


@pytest.fixture
def start(engine: FakeEngine, pool: SubnetPool) -> Callable[..., tuple[Slot, Remembering, threading.Thread]]:
    """Starts a slot in a separate thread."""

    def make(spec: RunSpec, handler: Remembering | None = None) -> tuple[Slot, Remembering, threading.Thread]:
        handler = handler or Remembering()
        slot = Slot(engine, spec, handler, pool, threading.Semaphore(2))
        thread = threading.Thread(target=slot.run, daemon=True)
        thread.start()
        return slot, handler, thread

    return make


@pytest.fixture
def run(start: Callable[..., Any]) -> Callable[..., Remembering]:
    """A run from start to end."""

    def whole(spec: RunSpec | None = None, handler: Remembering | None = None) -> Remembering:
        _, told, thread = start(spec or make_spec(), handler)
        thread.join(20)
        assert not thread.is_alive()
        assert told.result is not None
        return told

    return whole


def ending(told: Remembering) -> tuple[str, str, int | None]:
    assert told.result is not None
    return told.result.status, told.result.reason, told.result.exit_code


def test_it_runs_a_script_and_tells_in_order(run: Callable[..., Remembering]) -> None:
    told = run(make_spec(script="echo out; echo err >&2; echo $CITY; exit 3", env={"CITY": "Ho's Town"}))
    assert ending(told) == ("failed", "exit_code", 3)
    assert (told.log(1), told.log(2)) == (b"out\nHo's Town\n", b"err\n")
    assert told.events[0] == "may_begin"
    assert told.events[-2:] == ["finish", "cleaned"]


def test_nothing_runs_when_the_lease_is_gone(run: Callable[..., Remembering]) -> None:
    told = run(make_spec(script="echo it ran"), Remembering(begin=False))
    assert told.log() == b""
    assert ending(told)[0] == "cancelled"


FAULTS: list[tuple[str, int, EngineError, str]] = [
    ("describe_image", 1, EngineUnreachable("no answer"), "engine_unreachable"),
    ("create_network", 1, EngineError("no driver"), "engine_error"),
    ("create_network", 1, EngineUnreachable("no answer"), "engine_unreachable"),
    ("create_container", 1, EngineError("disk full"), "engine_error"),
    ("create_container", 2, EngineError("disk full"), "engine_error"),
    ("attach", 1, EngineUnreachable("no answer"), "engine_unreachable"),
    ("attach", 2, EngineUnreachable("no answer"), "engine_unreachable"),
    ("attach", 3, EngineUnreachable("no answer"), "engine_unreachable"),
    ("start", 1, ImageUnusable("no /bin/sh"), "image_unusable"),
    ("start", 2, ImageUnusable("no /bin/sh"), "image_unusable"),
]


@pytest.mark.parametrize(("method", "nth", "error", "reason"), FAULTS)
def test_a_step_that_fails_leaves_nothing_and_says_which(
    engine: FakeEngine, run: Callable[..., Remembering], method: str, nth: int, error: EngineError, reason: str
) -> None:
    engine.fail(method, error, nth)
    told = run(make_spec(script="echo it ran"))
    assert told.result is not None
    assert (told.result.status, told.result.reason, told.result.message) == ("errored", reason, str(error))
    assert told.log() == b""
    assert "may_begin" not in told.events
    assert told.events[-1] == "cleaned"


def test_a_step_that_fails_because_the_engine_was_restarted_is_not_the_steps_fault(
    engine: FakeEngine, run: Callable[..., Remembering]
) -> None:
    engine.booted = 1000.0
    engine.before["start"] = lambda: setattr(engine, "booted", 2000.0)
    engine.fail("start", EngineError("could not find the bridge"))
    told = run(make_spec(script="echo it ran"))
    assert ending(told) == ("errored", "engine_unreachable", None)
    assert told.log() == b""


@pytest.mark.parametrize("method", ["inspect", "stop", "remove_container", "remove_network", "read_usage"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_clean_up_that_fails_is_tried_again_and_hides_no_result(
    engine: FakeEngine, run: Callable[..., Remembering], method: str, nth: int
) -> None:
    if method != "inspect":  # before the end, `inspect` decides the result
        engine.fail(method, EngineError("busy"), nth)
        assert ending(run(make_spec(script="exit 4"))) == ("failed", "exit_code", 4)
        return
    engine.fail(method, EngineError("busy"), nth + 1)  # the first is the result's
    assert ending(run(make_spec(script="exit 4"))) == ("failed", "exit_code", 4)


def test_a_missing_image_is_found_before_anything_is_made(engine: FakeEngine, run: Callable[..., Remembering]) -> None:
    assert ending(run(make_spec(image="not-there"))) == ("errored", "image_missing", None)
    assert engine.calls["create_network"] == 0


def test_the_next_subnet_is_tried_when_one_is_taken(engine: FakeEngine, run: Callable[..., Remembering]) -> None:
    engine.fail("create_network", AddressTaken("overlaps"), 1)
    engine.fail("create_network", AddressTaken("overlaps"), 2)
    assert ending(run()) == ("succeeded", "exit_code", 0)
    assert engine.calls["create_network"] == 3


def test_what_an_earlier_attempt_left_is_cleared(
    engine: FakeEngine, pool: SubnetPool, run: Callable[..., Remembering]
) -> None:
    """A host died before it sent the payload: the run was requeued, and its old sandbox still exists."""
    spec = make_spec(script="echo again")
    Sandbox(engine, spec.sandbox, pool).prepare(make_binding(spec))
    assert engine.left
    assert ending(run(spec)) == ("succeeded", "exit_code", 0)


@pytest.mark.parametrize(
    ("epoch", "ends"), [(1, ("succeeded", "exit_code", 0)), (3, ("errored", "engine_error", None))]
)
def test_a_container_of_an_earlier_attempt_is_cleared_and_one_of_a_later_is_left(
    engine: FakeEngine, run: Callable[..., Remembering], epoch: int, ends: tuple[str, str, int | None]
) -> None:
    spec = make_spec(script="echo again", epoch=2)
    other = replace(spec, epoch=epoch, network="none")
    engine.create_container(name_main(spec.run_id), options.build_main_container(other, None, "local"))
    assert ending(run(spec)) == ends
    assert bool(engine.left) is (epoch == 3)
    engine.remove_container(name_main(spec.run_id))


def test_a_container_of_somebody_else_is_neither_removed_nor_used(
    engine: FakeEngine, run: Callable[..., Remembering]
) -> None:
    """It has the run's name, and labels from its image."""
    spec = make_spec()
    name = name_main(spec.run_id)
    engine.images.add("somebodys")
    engine.bring("somebodys", labels=naming.build_labels(spec, "main"))
    engine.create_container(
        name, options.build_main_container(spec, None, "local") | {"Image": "somebodys", "Labels": {}}
    )
    assert engine.list_own_objects(spec.instance) == []
    assert ending(run(spec)) == ("errored", "engine_error", None)
    assert engine.left == [name]
    engine.remove_container(name)


def test_a_container_that_somebody_restarts_is_a_run_that_is_lost(
    engine: FakeEngine, start: Callable[..., tuple[Slot, Remembering, threading.Thread]]
) -> None:
    spec = make_spec(script=FOREVER)
    _, told, thread = start(spec)
    told.wait_for("append")
    engine.restart(name_main(spec.run_id))
    thread.join(20)
    assert ending(told) == ("lost", "tampered", None)
    assert told.result is not None
    assert "was restarted from outside Cronium" in told.result.message


def test_a_container_that_somebody_removes_is_a_run_that_is_lost(
    engine: FakeEngine, start: Callable[..., tuple[Slot, Remembering, threading.Thread]]
) -> None:
    spec = make_spec(script=FOREVER)
    _, told, thread = start(spec)
    told.wait_for("append")
    engine.remove_container(name_main(spec.run_id))
    thread.join(20)
    assert ending(told) == ("lost", "container_gone", None)
    assert told.result is not None
    assert "was removed from outside Cronium" in told.result.message


@pytest.mark.parametrize("cut", [None, 8 + 3])
def test_a_container_that_somebody_renames_keeps_its_result(
    engine: FakeEngine, start: Callable[..., tuple[Slot, Remembering, threading.Thread]], cut: int | None
) -> None:
    engine.cut_output_after = cut
    spec = make_spec(script="echo up; sleep 0.5; echo down; exit 3")
    _, told, thread = start(spec)
    told.wait_for("append")
    engine.rename(name_main(spec.run_id), "another")
    thread.join(20)
    assert ending(told) == ("failed", "exit_code", 3)
    assert told.log() == b"up\ndown\n"


def test_a_pause_is_told_once_and_so_is_its_end(
    engine: FakeEngine, start: Callable[..., tuple[Slot, Remembering, threading.Thread]]
) -> None:
    spec = make_spec(script=FOREVER)
    slot, told, thread = start(spec)
    told.wait_for("append")
    container = engine.containers[name_main(spec.run_id)]
    for status in ("paused", "paused", "running", "running"):
        container.status = status
        slot.measure()
    assert [kind for kind, _ in told.told if kind in ("paused", "continued")] == ["paused", "continued"]
    slot.stop()
    thread.join(20)
    assert ending(told)[0] == "cancelled"


def test_an_exhausted_pool_says_so(engine: FakeEngine, pool: SubnetPool, run: Callable[..., Remembering]) -> None:
    while pool.take():
        pass
    told = run()
    assert ending(told) == ("errored", "address_pool_exhausted", None)
    assert told.result is not None
    assert "CRONIUM_SUBNET_POOL" in told.result.message


@pytest.mark.parametrize(("sidecar", "words"), [("ends", "the port is taken"), ("silent", "It said nothing")])
@pytest.mark.usefixtures("quick")
def test_a_sidecar_that_is_never_healthy_ends_the_run(
    engine: FakeEngine, run: Callable[..., Remembering], sidecar: str, words: str
) -> None:
    engine.sidecar = sidecar
    told = run(make_spec(script="echo it ran"))
    assert told.result is not None
    assert (told.result.status, told.result.reason) == ("errored", "sidecar_unhealthy")
    assert words in told.result.message
    assert told.log() == b""


@pytest.mark.parametrize("network", ["isolated", "egress", "open"])
def test_a_sidecar_that_ends_under_a_script_is_an_event_of_the_run(
    engine: FakeEngine, start: Callable[..., Any], network: str
) -> None:
    _, told, thread = start(make_spec(network=network, script="echo up; sleep 1; echo on"))
    told.wait_for_text(b"up")
    engine.stop(next(name for name in engine.containers if "sidecar" in name), 1)
    told.wait_for("sidecar_ended")
    thread.join(20)
    (event,) = told.told
    assert "runtime API fail" in event[1]
    assert ("lost its network" in event[1]) == (network == "open")
    assert told.result is not None
    assert (told.result.status, told.log()) == ("succeeded", b"up\non\n")


def test_the_time_limit_begins_with_the_script(
    engine: FakeEngine, run: Callable[..., Remembering], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow build of ten minutes does not count."""
    ahead, asked = [0.0], list[float]()
    clock = SimpleNamespace(sleep=time.sleep, monotonic=lambda: asked.append(ahead[0]) or time.monotonic() + ahead[0])
    monkeypatch.setattr("executor.run.slot.time", clock)
    engine.before["create_network"] = lambda: ahead.append(ahead.pop() + 600)
    told = run(make_spec(script="echo done", timeout_seconds=5.0))
    assert (ending(told)[0], told.log()) == ("succeeded", b"done\n")
    assert 600 in asked, "its limit is not measured on this clock"
    told = run(make_spec(script=FOREVER, timeout_seconds=0.3))
    assert ending(told)[:2] == ("timed_out", "timeout")


def test_cancel_while_it_runs(start: Callable[..., Any]) -> None:
    slot, told, thread = start(make_spec(script=FOREVER))
    told.wait_for_text(b"up")
    slot.stop()
    slot.stop(SHUTDOWN)  # the first reason counts
    thread.join(5)
    assert ending(told) == ("cancelled", "cancelled", 143)


@pytest.mark.usefixtures("quick")
def test_cancel_of_a_script_that_ignores_it(start: Callable[..., Any]) -> None:
    slot, told, thread = start(make_spec(script="trap '' TERM; " + FOREVER))
    told.wait_for_text(b"up")
    slot.stop()
    thread.join(5)
    assert ending(told) == ("cancelled", "cancelled", 137)


@pytest.mark.parametrize("method", ["describe_image", "create_network", "create_container", "attach", "start"])
def test_cancel_at_every_step_of_the_build_up(engine: FakeEngine, start: Callable[..., Any], method: str) -> None:
    """A cancelled run has no running container, whatever the moment of the cancel."""
    reached, go_on = threading.Event(), threading.Event()
    engine.before[method] = lambda: (reached.set(), go_on.wait(5))  # type: ignore[func-returns-value]
    running: list[str] = []
    told = Remembering()
    told.on_event = lambda event: (
        running.extend(name for name, one in engine.containers.items() if one.status == "running")
        if event == "finish"
        else None
    )
    slot, told, thread = start(make_spec(script="echo it ran"), told)
    assert reached.wait(5)
    slot.stop()
    go_on.set()
    thread.join(10)
    assert ending(told) == ("cancelled", "cancelled", None)
    assert (told.log(), running) == (b"", [])


def test_cancel_between_the_build_up_and_the_payload(engine: FakeEngine, start: Callable[..., Any]) -> None:
    """The handler refuses, as with a cancel flag in the row: main waits, and is removed before the result is stored."""
    running: list[str] = []
    told = Remembering(begin=False)
    told.on_event = lambda event: (
        running.extend(name for name, one in engine.containers.items() if one.status == "running")
        if event == "finish"
        else None
    )
    _, told, thread = start(make_spec(script="echo it ran"), told)
    thread.join(10)
    assert ending(told) == ("cancelled", "cancelled", None)
    assert (told.log(), running) == (b"", [])


def test_a_flood_is_stopped_and_counted(run: Callable[..., Remembering]) -> None:
    told = run(make_spec(script="yes 'a line of a flood'", log_limit_bytes=MB))
    assert ending(told)[:2] == ("failed", "output_limit")
    assert len(told.log()) in (MB, MB + 1)


def test_a_flood_of_hardly_anything_is_stopped_at_as_many_lines(run: Callable[..., Remembering]) -> None:
    told = run(make_spec(script="yes ''", log_limit_bytes=MB))
    assert ending(told)[:2] == ("failed", "output_limit")
    assert told.log() == b"\n" * (MB // LEAST_LINE_BYTES)


def test_a_job_that_wants_it_goes_on_past_its_limit_and_what_is_dropped_is_counted(
    run: Callable[..., Remembering],
) -> None:
    script = f"head -c {MB} /dev/zero | tr '\\0' x; echo; printf 'a\\nb\\n'; exit 3"
    told = run(make_spec(script=script, log_limit_bytes=MB, drop_past_limit=True))
    assert ending(told) == ("failed", "exit_code", 3)
    assert told.log() == b"x" * MB + b"\n"
    assert told.batches[-1].dropped == Dropped(3, 5)
    assert [kind for kind, _ in told.told] == ["log_full"]


def test_an_output_that_is_cut_off_goes_on_from_the_engines_own_log(
    engine: FakeEngine, run: Callable[..., Remembering]
) -> None:
    engine.cut_output_after = 8 + 3
    told = run(make_spec(script="echo up; sleep 0.5; echo down; exit 3"))
    assert ending(told) == ("failed", "exit_code", 3)
    assert told.log() == b"up\ndown\n"


@pytest.mark.usefixtures("quick")
def test_an_engine_that_is_on_its_way_out_is_waited_for_and_then_blamed(
    engine: FakeEngine, run: Callable[..., Remembering]
) -> None:
    """The engine still answers about the container that its shutdown has just ended."""
    engine.fail("read_boot_time", EngineUnreachable("takes no new connection"), nth=2)  # when the output has ended
    engine.fail("read_boot_time", EngineUnreachable("takes no new connection"), nth=3)

    def comes_back() -> None:
        if engine.calls["read_boot_time"] > 3:
            engine.booted = time.time()

    engine.before["read_boot_time"] = comes_back
    told = run(make_spec(script="kill -TERM $$"))
    assert ending(told)[:2] == ("errored", "engine_restarted")


def test_a_log_that_cannot_be_stored_ends_the_run(run: Callable[..., Remembering]) -> None:
    class Refusing(Remembering):
        def append(self, batch: Any) -> None:
            raise ValueError("the store is broken")

    told = run(make_spec(script="echo up; exec sleep 30"), Refusing())
    assert ending(told)[:2] == ("errored", "internal_error")


def test_the_sidecars_requests_are_answered(engine: FakeEngine, start: Callable[..., Any]) -> None:
    spec = make_spec(script=FOREVER)
    slot, told, thread = start(spec)
    told.wait_for_text(b"up")
    keyed = {"output": 0, "idempotency_key": "request:1"}
    assert engine.ask(spec.run_id, "output", {"output": 0}) == {"id": 1, "ok": True, "data": {"echo": keyed}}
    slot.stop()
    thread.join(5)
    assert told.requests == [("output", keyed)]


# The supervisor.


def test_slots_fill_and_free(engine: FakeEngine, pool: SubnetPool) -> None:
    freed = threading.Event()
    supervisor = Supervisor(engine, 2, pool, freed.set)
    handlers = [Remembering(), Remembering()]
    specs = [make_spec(script=FOREVER), make_spec(script=FOREVER)]
    for spec, handler in zip(specs, handlers, strict=True):
        supervisor.start(spec, handler)
    assert supervisor.count_free() == 0
    assert supervisor.list_active() == {spec.run_id for spec in specs}
    assert supervisor.stop(specs[0].run_id)
    assert freed.wait(10)
    assert supervisor.count_free() == 1
    assert not supervisor.stop(specs[0].run_id)
    assert supervisor.close(10)
    assert supervisor.count_free() == 0
    assert ending(handlers[1])[:2] == ("cancelled", "shutdown")


def test_a_run_that_comes_while_it_closes_is_stopped_too(engine: FakeEngine, pool: SubnetPool) -> None:
    """Claimed just before the supervisor closes, and started just after."""
    supervisor = Supervisor(engine, 2, pool, lambda: None)
    assert supervisor.close(1)
    told = Remembering()
    supervisor.start(make_spec(script=FOREVER), told)
    told.wait_for("cleaned", 10)
    assert ending(told)[:2] == ("cancelled", "shutdown")
    assert told.log() == b""


def test_many_runs_share_the_engine(engine: FakeEngine, pool: SubnetPool) -> None:
    supervisor = Supervisor(engine, 20, pool, lambda: None)
    handlers = [Remembering() for _ in range(20)]
    for number, handler in enumerate(handlers):
        supervisor.start(make_spec(script=f"echo {number}; exit {number}"), handler)
    for number, handler in enumerate(handlers):
        handler.wait_for("cleaned")
        assert (ending(handler)[2], handler.log()) == (number, f"{number}\n".encode())
    assert supervisor.close(5)


class TestAnExactImage:
    """An image by the digest that an engine has reported."""

    ID = "sha256:" + hashlib.sha256(b"runner:bash").hexdigest()

    def test_is_what_the_container_is_made_of(self, engine: FakeEngine, start: Any) -> None:
        spec = make_spec(image="moved:tag", image_digest=self.ID)
        _, handler, thread = start(spec)
        thread.join(20)
        assert handler.result.status == "succeeded", handler.result

    def test_is_also_found_by_its_repository(self, engine: FakeEngine, start: Any) -> None:
        """An engine with the other image store knows a manifest's digest under its repository's name."""
        manifest = "sha256:" + "b" * 64
        engine.images.add(f"host:5000/runner/bash@{manifest}")
        _, handler, thread = start(make_spec(image="host:5000/runner/bash:1", image_digest=manifest))
        thread.join(20)
        assert handler.result.status == "succeeded", handler.result

    def test_that_is_gone_is_told_with_the_mend(self, engine: FakeEngine, start: Any) -> None:
        _, handler, thread = start(make_spec(image="runner:bash", image_digest="sha256:" + "c" * 64))
        thread.join(20)
        assert (handler.result.status, handler.result.reason) == ("errored", "image_missing")
        assert "runner:bash with the digest sha256:ccc" in handler.result.message
        assert "run the job as it is now" in handler.result.message


def test_a_failed_run_says_what_its_last_lines_tell_beside_its_exit_code(run: Callable[..., Remembering]) -> None:
    told = run(make_spec(script="echo fine; no-such-command"))
    assert told.result is not None
    assert (told.result.status, told.result.reason, told.result.exit_code) == ("failed", "exit_code", 127)
    assert "exited with code 127" in told.result.message
    assert "no-such-command is not in the image runner:bash" in told.result.message
    told = run(make_spec(script="echo 'curl: (6) Could not resolve host: example.org'; exit 6"))
    assert told.result is not None
    assert "allow example.org:443" in told.result.message
    told = run(make_spec(script="echo 'x: command not found'"))
    assert told.result is not None
    assert "image" not in told.result.message
