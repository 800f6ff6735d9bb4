"""A periodic task continues after any error, and ends when it is stopped."""

import logging
import threading

import pytest

from cronium_admin.core.periodic import PeriodicTask


def test_it_goes_on_after_an_error_and_tells_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[int] = []
    over = threading.Event()
    monkeypatch.setattr(over, "wait", lambda seconds: waited.append(seconds) or over.is_set())
    waited: list[float] = []

    def once() -> float:
        done.append(1)
        if len(done) == 1:
            raise RuntimeError("the disk is full")
        if len(done) == 3:
            over.set()
        return 60.0

    made = PeriodicTask("reaper", once, 0.0, over)
    made.start()
    made.thread.join(10)
    assert (len(done), waited) == (3, [0.0, 1.0, 60.0, 60.0])
    assert "reaper failed" in caplog.text
    assert "the disk is full" in caplog.text


def test_it_is_stopped_while_it_waits_and_before_it_was_started() -> None:
    made = PeriodicTask("sweeper", lambda: 60.0, 60.0)
    made.stop()
    made = PeriodicTask("sweeper", lambda: 60.0, 60.0)
    made.start()
    made.stop(10)
    assert not made.thread.is_alive()


def test_what_fails_because_it_is_being_stopped_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cronium.rounds")
    over = threading.Event()

    def once() -> float:
        over.set()
        raise RuntimeError("cannot schedule new futures after shutdown")

    made = PeriodicTask("inventory", once, 0.0, over)
    made.start()
    made.thread.join(10)
    assert not made.thread.is_alive()
    assert [(one.levelname, one.exc_info) for one in caplog.records] == [("INFO", None)]
    assert "inventory stopped" in caplog.text
