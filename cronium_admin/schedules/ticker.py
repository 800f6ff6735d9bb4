"""The thread that fires due schedules. Each process may run it: one at a time does, by a lease that only saves work."""

import logging
import time

from django.db.models import Min

from cronium_admin.core.database.clock import Now
from cronium_admin.core.database.threads import database_work
from cronium_admin.core.lease import HeldLease, make_owner
from cronium_admin.core.leased_task import LeasedTask
from cronium_admin.schedules.firing import Tick, record_tick
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.refresh import refresh_stale
from cronium_admin.schedules.rounds import fire_round
from cronium_admin.schedules.starts import StartWatch

log = logging.getLogger("cronium.schedules")
LEASE = "schedules"
LEASE_SECONDS = 15.0  # a process that dies is replaced after this time
MAX_PAUSE_SECONDS = 1.0  # a schedule that another process saves is seen after this time
MIN_PAUSE_SECONDS = 0.02
HEARTBEAT_SECONDS = 20.0  # the heartbeat is written at least this often


class ScheduleTicker(LeasedTask):
    """Fires due schedules; sleeps until the next is due, at most a second."""

    def __init__(self) -> None:
        super().__init__(LEASE, self._work, 0.5, lease_seconds=LEASE_SECONDS)
        self._ticked_at = 0.0
        self._seen: int | None = None  # the time of the last tick, on the database's clock
        self._has_refreshed = False
        self._watch = StartWatch(make_owner())

    def _take_turn(self) -> float:
        self._watch.take_turn()  # also while another process holds the lease
        return super()._take_turn()

    def _release(self) -> None:
        super()._release()
        try:
            with database_work():
                self._watch.end()
        except Exception as error:  # noqa: BLE001 - the next start waits until the last report is old
            log.info("the end of this process was not recorded: %s", error)

    def _work(self, lease: HeldLease) -> float:
        """Runs for about a third of the lease's time, so that idle seconds cost no write."""
        if not self._has_refreshed:
            refresh_stale()
            self._has_refreshed = True
        end = time.monotonic() + LEASE_SECONDS / 3
        while (left := end - time.monotonic()) > 0:
            if self.stop_event.wait(min(self._fire_and_find_pause(), left)):
                break
        return 0.0

    def _fire_and_find_pause(self) -> float:
        """Fires what is due; returns the seconds until the next search."""
        waiting = Schedule.objects.filter(enabled=True, due_at__isnull=False)  # as in the index, for SQLite
        left = waiting.aggregate(left=Min("due_at") - Now())["left"]  # by the clock of the database at this moment
        seconds = MAX_PAUSE_SECONDS if left is None else left.total_seconds()
        if seconds > 0:
            if time.monotonic() - self._ticked_at > HEARTBEAT_SECONDS:
                self._record_tick()
            return min(seconds, MAX_PAUSE_SECONDS)
        seen, tick = self._seen, self._record_tick()
        return 0.0 if fire_round(tick, tick.now if seen is None else seen) else MIN_PAUSE_SECONDS

    def _record_tick(self) -> Tick:
        self._ticked_at = time.monotonic()
        self._watch.report()  # also if very many schedules are due
        tick = record_tick()
        self._seen = tick.now
        return tick
