"""The heartbeat of a host's worker: renews leases, reports the status, applies cancel flags and the drain switch."""

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings

from cronium_admin.core import metrics
from cronium_admin.core.lease import is_held
from cronium_admin.runs import state_machine
from cronium_admin.workers.cancellation import stop_cancelled_runs
from cronium_admin.workers.context import HostContext
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.scheduling.capacity import Capacity
from cronium_admin.workers.status import HostStatus

DROP_SECONDS = 10.0
COUNT_SECONDS = 10.0
RENEW_SECONDS = 10.0  # a third of the lease of a run
# Of the host's row: written when they have changed, and after a time, as the database may have lost a commit.
LARGE_COLUMNS = ("counters", "warm")
WRITE_ALL_SECONDS = 60.0


class Heartbeat:
    """`on_leader` is called when this process becomes leader after its start. Used by one thread."""

    def __init__(
        self,
        context: HostContext,
        status: HostStatus,
        on_leader: Callable[[], None],
        describe_pool: Callable[[], dict[str, Any]],
    ) -> None:
        self._context, self._status, self._on_leader = context, status, on_leader
        self._describe_pool = describe_pool
        self._counted_at = -COUNT_SECONDS
        self._renewed_at = -RENEW_SECONDS
        self._written: dict[str, Any] = {}  # large columns, as the row has them
        self._written_at = 0.0

    def acquire_leadership(self) -> None:
        # The capacity is reported before any run is claimed.
        context = self._context
        context.leadership.is_leader = context.database.call(context.leadership.acquire)
        if context.is_leader:
            self._write_status()

    def beat(self) -> None:
        context = self._context
        if not (context.is_leader or context.database.call(context.leadership.acquire)):
            return
        if context.supervisor.list_active():
            self._renew_runs()
            stop_cancelled_runs(context)
        if not self._write_status():
            context.leadership.is_leader = False
            metrics.LEASE_LOSSES.labels("host").inc()
            context.supervisor.release_all(DROP_SECONDS)
            return
        self._count_other_hosts()
        row = context.database.call(Host.objects.get, name=context.host)
        is_changed = (row.unsafe, row.draining) != (context.is_unsafe, context.is_draining)
        context.is_unsafe, context.is_draining = row.unsafe, row.draining
        if not context.is_leader:  # a new leader has reported its capacity by now
            self._on_leader()
            context.leadership.is_leader = is_changed = True
        if is_changed:  # by the isolation check, `manage.py doctor` or an administrator
            context.wake.set()

    def _renew_runs(self) -> None:
        if time.monotonic() - self._renewed_at >= RENEW_SECONDS:
            self._context.database.call(state_machine.renew_leases, self._context.owner)
            self._renewed_at = time.monotonic()

    def _count_other_hosts(self) -> None:
        if time.monotonic() - self._counted_at >= COUNT_SECONDS:
            others = Host.objects.filter(is_held()).exclude(name=self._context.host)
            self._context.other_hosts = self._context.database.call(others.count)
            self._counted_at = time.monotonic()

    def _write_status(self) -> bool:
        """False if the lease of the host was lost."""
        columns = self._collect_status()
        large = {name: columns.pop(name) for name in LARGE_COLUMNS}
        is_recent = time.monotonic() - self._written_at < WRITE_ALL_SECONDS
        written, self._written = self._written if is_recent else {}, {}  # unknown if the UPDATE fails
        changed = {name: value for name, value in large.items() if name not in written or value != written[name]}
        if not self._context.database.call(self._context.leadership.renew, columns | changed):
            return False
        self._written = large
        self._written_at = self._written_at if is_recent else time.monotonic()
        return True

    def _collect_status(self) -> dict[str, Any]:
        context, columns = self._context, self._status.read_columns()
        queues = context.capacity.queues
        if "cpus" in columns:
            overcommit = settings.CONFIG.cpu_overcommit
            context.capacity = Capacity(queues, columns["cpus"], columns["memory_bytes"], overcommit)
        columns |= {"warm": self._describe_pool()}
        columns |= {"capacity": context.supervisor.capacity, "running": context.supervisor.count_running()}
        return columns | {"queues": list(queues), "counters": metrics.take_snapshot(metrics.WORKER)}
