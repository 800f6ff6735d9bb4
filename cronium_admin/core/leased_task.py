"""A periodic task that runs in one process of the installation only: in the one that holds its lease."""

import logging
import threading
from collections.abc import Callable
from time import monotonic

from cronium_admin.core.database.threads import database_work
from cronium_admin.core.lease import HeldLease, LeaseLost, acquire_lease, make_owner, release_lease
from cronium_admin.core.periodic import PeriodicTask

log = logging.getLogger("cronium.lease")
LEASE_SECONDS = 60.0  # a process that dies is replaced after this time


class LeasedTask(PeriodicTask):
    """A thread that calls `work` while this process holds the lease `name`.

    `work` returns the seconds until the next call. It is called at once when the process acquires the lease. The lease
    is renewed every third of its duration, also between the calls. `work` gets the lease; if it takes longer, it calls
    `lease.keep()`, and may let LeaseLost pass. Two processes can call `work` at the same time, after one of them was
    frozen: the lease only saves work. A change that must not be made twice has `lease.holds()` as a condition. `stop`
    releases the lease.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[HeldLease], float],
        first: float,
        over: threading.Event | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        super().__init__(name, self._take_turn, first, over)
        self._work, self._name, self._owner, self._seconds = work, name, make_owner(), lease_seconds
        self._epoch: int | None = None
        self._due_at = 0.0

    def _take_turn(self) -> float:
        """Returns the seconds until the next turn."""
        before, self._epoch = self._epoch, acquire_lease(self._name, self._owner, self._seconds)
        if self._epoch is None:
            if before is not None:
                log.warning("another process holds the lease %s now", self._name)
            return self._seconds / 3
        if self._epoch != before:
            log.info("this process holds the lease %s", self._name)
            self._due_at = monotonic()
        if monotonic() >= self._due_at:
            try:
                self._due_at = monotonic() + self._work(HeldLease(self._name, self._owner, self._epoch, self._seconds))
            except LeaseLost as error:
                log.warning("%s stopped: %s", self._name, error)
                self._epoch = None
                return self._seconds / 3
        return min(max(self._due_at - monotonic(), 0.0), self._seconds / 3)

    def _run(self) -> None:
        try:
            super()._run()
        finally:
            self._release()

    def _release(self) -> None:
        # The next process need not wait until the lease expires.
        if self._epoch is None:
            return
        try:
            with database_work():
                release_lease(self._name, self._owner)
        except Exception as error:  # noqa: BLE001 - the lease expires by itself
            log.info("the lease %s was not released: %s", self._name, error)
