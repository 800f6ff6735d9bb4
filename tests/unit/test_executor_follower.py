"""A container's output is read to its end: after any failure, every byte is stored once."""

import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network

import pytest

from executor.docker.attachment import Attachment
from executor.docker.errors import SandboxGone
from executor.naming import name_main
from executor.output.follower import Follower
from executor.output.masking import Masker
from executor.output.resume import StoredLog
from executor.run import payload
from executor.sandbox.subnets import SubnetPool
from executor.spec import Batch, Cursor, Dropped, LeaseLost, RunSpec
from tests.fakes.contract import World
from tests.fakes.engine import FakeEngine

SCRIPT = "for n in $(seq 1 300); do echo line $n; echo problem $n >&2; done; printf '%40000s\\n' long; printf 'the end'"
OUT = b"".join(b"line %d\n" % n for n in range(1, 301)) + b"long\n".rjust(40_001) + b"the end\n"
ERR = b"".join(b"problem %d\n" % n for n in range(1, 301))
POOL = SubnetPool(IPv4Network("10.216.0.0/24"))


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    yield made
    made.close()


@pytest.fixture
def world(engine: FakeEngine) -> World:
    return World(engine, "runner:bash", "sidecar:latest", POOL)


class Stored:
    """The stored output, and the state from which a new process resumes."""

    def __init__(self) -> None:
        self.text = {1: b"", 2: b""}
        self.stands = Cursor(), Cursor()
        self.tail = b""
        self.came = threading.Condition()
        self.reconnected = 0

    def __call__(self, batch: Batch) -> None:
        with self.came:
            for part in batch.segments:
                self.text[part.stream] += part.text
            self.stands, self.tail = (batch.stdout, batch.stderr), batch.stdout_tail
            self.came.notify_all()

    def again(self) -> None:
        self.reconnected += 1

    def follower(self, engine: FakeEngine, spec: RunSpec) -> Follower:
        return Follower(engine, spec, Masker(), self, lambda: None, self.again, lambda: name_main(spec.run_id))


def begin(world: World, script: str) -> tuple[RunSpec, str, Attachment, Callable[[], None]]:
    """A started main that waits for its payload, and the function that sends the script."""
    spec, name = world.main(script=script)
    output = world.engine.attach(name, stdin=False, output=True)
    stdin = world.engine.attach(name, stdin=True, output=False)
    world.engine.start(name)

    def send() -> None:
        stdin.send(payload.build_payload(spec))
        stdin.close_write()
        stdin.close()

    return spec, name, output, send


@pytest.mark.parametrize("output_cut", [None, 8, 500, 9_000, 30_000])
@pytest.mark.parametrize("log_cut", [None, 1, 20_000])
def test_wherever_it_breaks_every_byte_is_stored_once(
    engine: FakeEngine, world: World, output_cut: int | None, log_cut: int | None
) -> None:
    spec, _, output, send = begin(world, SCRIPT)
    engine.cut_output_after, engine.cut_log_after = output_cut, log_cut
    stored = Stored()
    follower = stored.follower(engine, spec)
    follower.attach(output, engine.read_boot_time())
    send()
    follower.follow()
    assert stored.text == {1: OUT, 2: ERR}
    assert follower.total_bytes == len(OUT + ERR) - 1
    if output_cut is not None:
        assert stored.reconnected == 1 + (log_cut is not None)


@pytest.mark.parametrize("ahead", [-60.0, 60.0])
def test_the_end_of_an_engine_with_another_clock_is_told_from_a_cut(
    engine: FakeEngine, world: World, ahead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.clock_ahead = ahead
    monkeypatch.setattr(engine, "read_boot_time", lambda: 1.0)  # a proxy on the way may end a stream too
    spec, _, output, send = begin(world, f"printf '%600s\\n' first; sleep 1; {SCRIPT}")  # it ends long after the cut
    engine.cut_output_after = 500
    stored = Stored()
    follower = stored.follower(engine, spec)
    follower.attach(output, engine.read_boot_time())
    send()
    follower.follow()
    assert stored.text == {1: b"first\n".rjust(601) + OUT, 2: ERR}


def test_a_second_process_goes_on_where_the_first_let_go(engine: FakeEngine, world: World) -> None:
    """A release leaves the unfinished line unfinished."""
    spec, _, output, send = begin(world, "echo whole; printf 'begun '; sleep 0.5; echo and ended")
    stored, outcome = Stored(), list[BaseException]()
    first = stored.follower(engine, spec)
    first.attach(output, engine.read_boot_time())

    def read() -> None:
        try:
            first.follow()
        except LeaseLost as error:
            outcome.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    send()
    with stored.came:
        assert stored.came.wait_for(lambda: stored.tail == b"begun ", 10)
    first.release()
    thread.join(10)
    assert len(outcome) == 1
    assert (stored.text[1], stored.stands[0]) == (b"whole\n", Cursor(1, 6))
    second = stored.follower(engine, spec)
    second.resume(StoredLog(*stored.stands), Dropped())
    second.follow()
    assert stored.text[1] == b"whole\nbegun and ended\n"


def test_a_container_that_is_gone_is_told_as_such(engine: FakeEngine, world: World) -> None:
    spec, name, _, _ = begin(world, "true")
    engine.remove_container(name)
    follower = Stored().follower(engine, spec)
    follower.resume(StoredLog(), Dropped())
    with pytest.raises(SandboxGone):
        follower.follow()
