"""The limits of builds and removals on one engine."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from executor.run.gate import EngineGate


class Visitors:
    """Threads that stay in the gate until they are let go; `inside` has their names in the order of entry."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self._changed = threading.Condition()
        self._leave: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def send(self, name: str, entry: AbstractContextManager[None]) -> None:
        self._leave[name] = threading.Event()

        def visit() -> None:
            with entry:
                with self._changed:
                    self.inside.append(name)
                    self._changed.notify_all()
                self._leave[name].wait(20)
            with self._changed:
                self.inside.remove(name)
                self._changed.notify_all()

        self._threads.append(threading.Thread(target=visit, daemon=True))
        self._threads[-1].start()

    def let_go(self, name: str) -> None:
        self._leave[name].set()

    def wait_for(self, *names: str) -> None:
        """Returns when exactly these are inside, and stay so for a moment."""
        with self._changed:
            assert self._changed.wait_for(lambda: sorted(self.inside) == sorted(names), 10), self.inside
        time.sleep(0.05)
        assert sorted(self.inside) == sorted(names)

    def end(self) -> None:
        for event in self._leave.values():
            event.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def visitors() -> Iterator[Visitors]:
    made = Visitors()
    yield made
    made.end()


@pytest.fixture
def send(visitors: Visitors) -> Callable[[str, AbstractContextManager[None]], None]:
    """Sends a visitor, and returns when it is inside or waits."""

    def make(name: str, entry: AbstractContextManager[None]) -> None:
        visitors.send(name, entry)
        time.sleep(0.03)

    return make


def test_builds_have_a_limit_and_an_order(visitors: Visitors, send: Callable[..., None]) -> None:
    gate = EngineGate(2, 2)
    for number in range(6):
        send(f"build {number}", gate.builds)
    for number in range(4):
        visitors.wait_for(f"build {number}", f"build {number + 1}")
        visitors.let_go(f"build {number}")


def test_while_a_build_waits_one_removal_goes_on(visitors: Visitors, send: Callable[..., None]) -> None:
    gate = EngineGate(1, 3)
    send("build 1", gate.builds)
    send("build 2", gate.builds)
    for number in range(1, 5):
        send(f"removal {number}", gate.removals)
    visitors.wait_for("build 1", "removal 1")
    visitors.let_go("removal 1")
    visitors.wait_for("build 1", "removal 2")
    visitors.let_go("build 1")  # no build waits any more
    visitors.wait_for("build 2", "removal 2", "removal 3", "removal 4")


def test_a_build_does_not_wait_for_removals(visitors: Visitors, send: Callable[..., None]) -> None:
    gate = EngineGate(1, 2)
    for number in range(1, 4):
        send(f"removal {number}", gate.removals)
    send("build", gate.builds)
    visitors.wait_for("removal 1", "removal 2", "build")


def test_an_open_gate_limits_no_removal(visitors: Visitors, send: Callable[..., None]) -> None:
    gate = EngineGate(1, 1)
    for number in range(4):
        send(f"removal {number}", gate.removals)
    visitors.wait_for("removal 0")
    gate.open()
    visitors.wait_for(*(f"removal {number}" for number in range(4)))


def test_an_error_inside_gives_the_place_back() -> None:
    gate = EngineGate(1, 1)
    for entry in (gate.builds, gate.removals):
        for _ in range(2):
            with pytest.raises(ValueError), entry:  # noqa: PT011 - its own
                raise ValueError
