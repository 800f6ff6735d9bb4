"""Steps of the database's clock: leases that seem expired after a step forward, and too long after a step back."""

import logging
import math
import threading
import time
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import DateTimeField

from cronium_admin.core.database.clock import Now
from cronium_admin.core.lease import STEP, shorten_rows
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import ON_HOST, Run
from cronium_admin.warm.models import WarmSandbox
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.lease import LEASE_DURATION

log = logging.getLogger("cronium.recovery")


class ClockStepDetector:
    """Compares the database's clock with the machine's uptime. `may_have_gone_back`: until the caller resets it."""

    def __init__(self) -> None:
        self.may_have_gone_back = True  # before this process started
        self._lock = threading.Lock()
        self._last: tuple[datetime, float] | None = None
        self._steady_at = -math.inf

    def is_steady(self) -> bool:
        """False for the duration of a lease after a step forward. Queries the database's clock and compares it with
        the last call."""
        row = Host.objects.order_by("pk").values_list(Now(output_field=DateTimeField())).first()
        if row is None:
            return True  # no worker has started yet
        with self._lock:
            before, self._last = self._last, (row[0], time.monotonic())
            if before is not None:
                step = row[0] - before[0] - timedelta(seconds=self._last[1] - before[1])
                self._note_step(step)
            return time.monotonic() >= self._steady_at

    def _note_step(self, step: timedelta) -> None:
        seconds = LEASE_DURATION.total_seconds()
        if step > STEP:
            message = "the database's clock was set forward by %.0f s; no run is settled as abandoned for %d s"
            log.warning(message, step.total_seconds(), seconds)
            self._steady_at = time.monotonic() + seconds
        elif step < -STEP:
            log.warning("the database's clock was set back by %.0f s", -step.total_seconds())
            self.may_have_gone_back = True


def shorten_future_times() -> None:
    """Ends what would last until the clock has caught up: leases and heartbeats of hosts, leases of runs, and the times
    since sandboxes were taken. Living processes renew their own. Named leases: see `core.lease`."""
    shorten_rows(Host.objects.all(), LEASE_DURATION)
    Host.objects.filter(heartbeat_at__gt=Now() + STEP).update(heartbeat_at=Now())
    WarmSandbox.objects.filter(taken_at__gt=Now() + STEP).update(taken_at=Now())
    longer = Run.objects.filter(
        status__in=ON_HOST, lease_expires_at__gt=Now() + state_machine.LEASE_DURATION + STEP
    ).order_by("pk")
    with transaction.atomic():  # locked in the order in which others lock runs
        locked = list(longer.select_for_update(no_key=True).values_list("pk", flat=True))
        if locked:
            held = Run.objects.filter(pk__in=locked, status__in=ON_HOST)
            held.update(lease_expires_at=Now() + state_machine.LEASE_DURATION)
