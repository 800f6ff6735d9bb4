"""An image that is removed from the host while its run starts, on the fake engine: it is provided again, once."""

import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network

import pytest

from executor.docker.errors import ImageMissing, ImagePullAborted, ImagePullDenied
from executor.run.slot import Slot
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from executor.spec import RunSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import Remembering, make_spec

IMAGE = "runner:bash"


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    yield made
    assert made.left == [], "something is left on the engine"
    made.close()


@pytest.fixture
def pool() -> SubnetPool:
    return SubnetPool(IPv4Network("10.215.0.0/29"))  # one subnet: the failed sandbox must return its own


class Host:
    """Removes the image when a container or the look-up of an image begins; `provide` brings it back."""

    def __init__(self, engine: FakeEngine, image: str = IMAGE, removals: int = 1) -> None:
        self.engine, self.image, self.removals = engine, image, removals

    def remove(self) -> None:
        if self.removals:
            self.removals -= 1
            self.engine.images.discard(self.image)

    def remove_before(self, method: str, nth: int = 1) -> None:
        first = self.engine.calls[method]

        def hook() -> None:
            if self.engine.calls[method] >= first + nth:
                self.remove()

        self.engine.before[method] = hook

    def provide(self, spec: RunSpec, is_wanted: Callable[[], bool], is_prepared: bool) -> None:
        self.engine.images.add(self.image)


def run(
    engine: FakeEngine, pool: SubnetPool, told: Remembering, spec: RunSpec, prepared: Sandbox | None = None
) -> tuple[str, str]:
    builds = threading.Semaphore(1)
    Slot(engine, spec, told, pool, builds, prepared=prepared).run()
    assert builds.acquire(blocking=False), "no build is counted twice"
    assert told.result is not None
    return told.result.status, told.result.reason


@pytest.mark.parametrize(
    ("method", "network"),
    [
        *[(method, "isolated") for method in ("describe_image", "create_network", "create_container")],
        *[("create_container", network) for network in ("none", "open")],
    ],
)
def test_an_image_that_vanishes_is_provided_again(
    engine: FakeEngine, pool: SubnetPool, method: str, network: str
) -> None:
    host = Host(engine)
    host.remove_before(method)
    told = Remembering(provide=host.provide)
    assert run(engine, pool, told, make_spec(network=network)) == ("succeeded", "exit_code")
    assert told.provided == [False, True]
    assert told.log() == b"hello\n"
    assert told.events.count("may_begin") == 1


def test_the_pull_holds_no_place_of_a_build(engine: FakeEngine, pool: SubnetPool) -> None:
    host, builds, free = Host(engine), threading.Semaphore(1), list[bool]()
    host.remove_before("create_container")

    def provide(spec: RunSpec, is_wanted: Callable[[], bool], is_prepared: bool) -> None:
        free.append(builds.acquire(blocking=False))
        builds.release()
        host.provide(spec, is_wanted, is_prepared)

    told = Remembering(provide=provide)
    Slot(engine, make_spec(), told, pool, builds).run()
    assert told.result is not None
    assert (told.result.status, free) == ("succeeded", [True, True])


def test_one_that_vanishes_again_ends_the_run(engine: FakeEngine, pool: SubnetPool) -> None:
    host = Host(engine, removals=4)  # at each container of both attempts
    host.remove_before("create_container")
    told = Remembering(provide=host.provide)
    assert run(engine, pool, told, make_spec()) == ("errored", "image_missing")
    assert told.provided == [False, True]
    assert told.log() == b""
    assert told.result is not None
    assert "The image runner:bash was removed from the host test-host before" in told.result.message


@pytest.mark.parametrize("error", [ImageMissing("the job's pull policy is never"), ImagePullDenied("denied")])
def test_what_may_not_be_pulled_ends_the_run_with_the_reason(
    engine: FakeEngine, pool: SubnetPool, error: ImageMissing | ImagePullDenied
) -> None:
    host = Host(engine)
    host.remove_before("create_container")

    def provide(spec: RunSpec, is_wanted: Callable[[], bool], is_prepared: bool) -> None:
        if IMAGE not in engine.images:
            raise error

    told = Remembering(provide=provide)
    assert run(engine, pool, told, make_spec()) == ("errored", error.reason)
    assert told.result is not None
    assert told.result.message == str(error)
    assert "may_begin" not in told.events


def test_the_sidecars_image_is_not_pulled(engine: FakeEngine, pool: SubnetPool) -> None:
    engine.images.discard("sidecar:latest")
    told = Remembering()
    assert run(engine, pool, told, make_spec()) == ("errored", "image_missing")
    assert told.provided == [False]
    assert told.result is not None
    assert "sidecar:latest of the runtime API is not on the host test-host" in told.result.message
    assert "manage.py images build" in told.result.message


def test_a_run_that_is_stopped_during_the_second_pull_is_cancelled(engine: FakeEngine, pool: SubnetPool) -> None:
    host = Host(engine)
    host.remove_before("create_container")
    told = Remembering()
    slot = Slot(engine, make_spec(), told, pool, threading.Semaphore(1))

    def provide(spec: RunSpec, is_wanted: Callable[[], bool], is_prepared: bool) -> None:
        if IMAGE not in engine.images:
            slot.stop()
            assert not is_wanted()
            raise ImagePullAborted("Nobody waits for it any more.")

    told.provide = provide
    slot.run()
    assert told.result is not None
    assert (told.result.status, told.result.reason) == ("cancelled", "cancelled")
    assert told.events[-1] == "cleaned"


def test_a_lost_lease_pulls_and_removes_nothing(engine: FakeEngine, pool: SubnetPool) -> None:
    host = Host(engine)
    host.remove_before("create_container")
    told = Remembering(ours=False)
    Slot(engine, make_spec(), told, pool, threading.Semaphore(1)).run()
    assert (told.result, told.provided) == (None, [False])
    for name in list(engine.containers):
        engine.remove_container(name)
    engine.networks.clear()


def test_a_stem_whose_main_has_no_image_any_more_becomes_a_cold_start(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec(epoch=1)
    stem = Sandbox(engine, spec.sandbox, pool)
    stem.prepare_stem()
    host = Host(engine)
    host.remove()
    told = Remembering()

    def provide(spec: RunSpec, is_wanted: Callable[[], bool], is_prepared: bool) -> None:
        if not is_prepared:
            host.provide(spec, is_wanted, is_prepared)

    told.provide = provide
    assert run(engine, pool, told, spec, stem) == ("succeeded", "exit_code")
    assert [reason for reason, _ in told.cold] == ["image_missing"]
    assert told.provided == [False, True]
