"""Time limits of a worker's shutdown: it does not wait for a database or an engine that hangs."""

import logging
import os
import threading
import time
from collections.abc import Callable

from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run, Status

log = logging.getLogger("cronium.host")
HAND_OVER_SECONDS = 3.5  # to hand over the runs and release the leases
STOP_SECONDS, LEAVE_SECONDS = 25.0, 3.5  # to stop all runs; then to release the leases
REST_SECONDS = 1.3  # for the rest of the process; with a hand-over less than the promised 5 s in all


def compute_shutdown_seconds(*, hand_over: bool) -> float:
    return REST_SECONDS + (HAND_OVER_SECONDS if hand_over else STOP_SECONDS + LEAVE_SECONDS)


def compute_seconds_left(end: float) -> float:
    """Seconds until `end` on the monotonic clock, at least 0."""
    return max(0.0, end - time.monotonic())


def run_steps_until(end: float, *steps: Callable[[], object]) -> bool:
    """Run the steps in order in a new thread. True if all were done before `end` without an error.

    A step that hangs is abandoned; the process can exit without it.
    """
    errors = []

    def work() -> None:
        for step in steps:
            try:
                step()
            except Exception as error:  # noqa: BLE001 - logged below; the other steps still run
                errors.append(error)

    thread = threading.Thread(target=work, name="leaving", daemon=True)
    thread.start()
    thread.join(compute_seconds_left(end))
    for error in errors:
        log.warning("a shutdown step failed: %s", error)
    return not thread.is_alive() and not errors


def schedule_forced_exit(seconds: float) -> None:
    """Exit this process after `seconds` even if threads hang. The next process takes over its runs."""

    def end() -> None:
        log.error("shutdown did not complete within %g s; the process exits now", seconds)
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def release_runs(owner: str) -> None:
    """Release the leases of this owner's running runs: their scripts continue, and the next process adopts them."""
    running = Run.objects.filter(status=Status.RUNNING, lease_owner=owner).values_list("pk", "lease_epoch")
    if released := sum(state_machine.release_lease(run_id, epoch) for run_id, epoch in running):
        log.info("handed over %d active runs", released)
