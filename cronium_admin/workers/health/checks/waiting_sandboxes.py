"""Checks the waiting sandboxes of this host, as its worker reported them."""

from django.db import DatabaseError

from cronium_admin.workers.health.probe import DatabaseCall, call_directly
from cronium_admin.workers.health.results import CheckResult
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.hosts.service import is_alive
from cronium_admin.workers.hosts.warm_pool import WarmPoolOut, WarmShapeOut, parse_pool

NAME = "waiting sandboxes"
_MEND = (
    "Runs start in new sandboxes meanwhile. Fix the cause that the message names: mostly the image is missing on this "
    "host, or has no shell. The worker tries again within half an hour."
)


def check_waiting_sandboxes(host: str, ask: DatabaseCall = call_directly) -> list[CheckResult]:
    """No row if they are unknown: no worker runs there, or the database does not answer, which has a row of its own."""
    try:
        pool = ask(lambda: _read_pool(host))
    except DatabaseError:
        return []
    return [] if pool is None else [_describe(pool)]


def _read_pool(host: str) -> WarmPoolOut | None:
    row = Host.objects.filter(name=host).only("warm", "heartbeat_at").first()
    return parse_pool(row.warm) if row is not None and is_alive(row) else None


def _describe(pool: WarmPoolOut) -> CheckResult:
    if not pool.limit:
        return CheckResult(NAME, "ok", "Off: CRONIUM_WARM is 0")
    if failing := [shape for shape in pool.sorted_shapes if shape.error]:
        more = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
        return CheckResult(NAME, "warning", f"{_name_shape(failing[0])} failed{more}: {failing[0].error}", _MEND)
    paused = f"; paused: {pool.paused}" if pool.paused else ""
    return CheckResult(NAME, "ok", f"{pool.waiting} of at most {pool.limit} wait{paused}")


def _name_shape(shape: WarmShapeOut) -> str:
    subject = f"network {shape.network}" if shape.is_stem else shape.image
    return f"The last {shape.failures or 3} attempts to prepare one for {subject}"
