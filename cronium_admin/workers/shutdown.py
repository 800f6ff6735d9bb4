"""How a worker ends in its time: whatever hangs then, a database or an engine, is not waited for."""

import logging
import os
import threading
import time
from collections.abc import Callable

log = logging.getLogger("cronium.host")
HAND_OVER_SECONDS = 3.5  # for the runs, their leases and the host's
STOP_SECONDS, LEAVE_SECONDS = 25.0, 3.5  # for all runs to be stopped; then for the leases
REST_SECONDS = 1.3  # for what else the process has to end; with a hand-over that makes less than the 5 s promised


def compute_shutdown_seconds(*, hand_over: bool) -> float:
    """How long a worker may take in all."""
    return REST_SECONDS + (HAND_OVER_SECONDS if hand_over else STOP_SECONDS + LEAVE_SECONDS)


def compute_seconds_left(end: float) -> float:
    """The seconds until `end`, on the monotonic clock; 0 when it has passed."""
    return max(0.0, end - time.monotonic())


def run_steps_until(end: float, *steps: Callable[[], object]) -> bool:
    """Take the steps in order in a thread of their own; True when all were done until `end`, without an error.

    One that hangs is left behind, and the process may end without it.
    """
    failed = []

    def work() -> None:
        for step in steps:
            try:
                step()
            except Exception as error:  # noqa: BLE001 - the other steps are worth taking all the same
                failed.append(error)

    thread = threading.Thread(target=work, name="leaving", daemon=True)
    thread.start()
    thread.join(compute_seconds_left(end))
    for error in failed:
        log.warning("not all was told when the worker ended: %s", error)
    return not thread.is_alive() and not failed


def schedule_forced_exit(seconds: float) -> None:
    """End this process after that time, whatever thread still hangs: a later process takes over what it had."""

    def end() -> None:
        log.error("something did not end within %g s, so the process ends without it", seconds)
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
