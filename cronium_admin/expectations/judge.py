"""The thread that judges what is expected of jobs. It is not the thread that fires schedules: it works while that one
is dead, and says so.

Each process may run it: one at a time does, by a lease that only saves work.
"""

import time

from cronium_admin.core.lease import HeldLease
from cronium_admin.core.leased_task import LeasedTask
from cronium_admin.expectations.check_judge import judge_checks
from cronium_admin.expectations.moment import Moment, record_moment
from cronium_admin.expectations.opening import open_overdue
from cronium_admin.expectations.overdue import find_overdue
from cronium_admin.expectations.recovery import close_fulfilled
from cronium_admin.expectations.watches import sync_watches

LEASE = "expectations"
LEASE_SECONDS = 15.0  # a process that dies is replaced after this time
MAX_PAUSE_SECONDS = 5.0
MIN_PAUSE_SECONDS = 0.05


class ExpectationJudge(LeasedTask):
    """Looks every five seconds, and at each deadline that it knows of."""

    def __init__(self) -> None:
        super().__init__(LEASE, self._work, 1.0, lease_seconds=LEASE_SECONDS)

    def _work(self, lease: HeldLease) -> float:
        end = time.monotonic() + LEASE_SECONDS / 3
        while (left := end - time.monotonic()) > 0:
            if self.stop_event.wait(min(judge(), left)):
                break
            lease.keep()
        return 0.0


def judge(moment: Moment | None = None) -> float:
    """Opens and closes incidents once. Returns the seconds until the next look."""
    moment = moment or record_moment()
    sync_watches(moment.now)
    close_fulfilled(moment)
    overdue, next_deadline = find_overdue(moment)
    open_overdue(overdue, moment)
    deadlines = [at for at in (next_deadline, judge_checks(moment)) if at is not None]
    if not deadlines:
        return MAX_PAUSE_SECONDS
    seconds = (min(deadlines) - moment.now).total_seconds()
    return min(max(seconds, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
