"""The thread that measures memory."""

import threading
from ipaddress import IPv4Network

import pytest

from executor.run import supervisor
from executor.sandbox.subnets import SubnetPool
from tests.fakes.engine import FakeEngine


class Broken:
    class spec:
        run_id = "broken"

    def measure(self) -> None:
        raise TypeError("unforeseen")


class Counting:
    def __init__(self) -> None:
        self.twice = threading.Event()
        self.count = 0

    def measure(self) -> None:
        self.count += 1
        if self.count == 2:
            self.twice.set()


def test_a_run_that_can_not_be_measured_ends_the_measuring_of_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MEASURE_SECONDS", 0.01)
    engine, counting = FakeEngine(), Counting()
    made = supervisor.Supervisor(engine, 2, SubnetPool(IPv4Network("10.215.0.0/24")), lambda: None)
    try:
        with made._lock:
            made._slots |= {"broken": Broken(), "other": counting}  # type: ignore[dict-item]
        assert counting.twice.wait(5)
    finally:
        with made._lock:
            made._slots.clear()
        made.close(1)
        engine.close()
