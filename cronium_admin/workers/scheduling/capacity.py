"""Chooses the next run that a host may claim: from its queues, and within its free memory and CPU.

Changes nothing; `runs.state_machine` claims the run.
"""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from cronium_admin.core.database.clock import Now
from cronium_admin.core.database.compiled import CompiledQuery
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.runs import limits
from cronium_admin.runs.claim_order import CLAIM_ORDER, IS_QUEUED
from cronium_admin.runs.models import ON_HOST, Run
from cronium_admin.runs.serial import is_turn
from cronium_admin.runs.start_time import is_due, is_no_stale_attempt
from cronium_admin.warm import rows as warm
from cronium_admin.workers.hosts.models import Host
from executor.sandbox.options import SIDECAR_LIMITS

MB = 1024 * 1024
# How long smaller runs may overtake a run that fits the host, but not beside its active runs.
MAX_PASS_OVER = timedelta(seconds=60)
MAX_CONSIDERED = 200  # waiting runs that fit the host, per claim
MAX_CPU = 99.99  # the most CPU that a run can request
# The last but one: for how long the run could have started.
_FACTS = (
    *("pk", "cpu", "memory_mb", "network", "job_id", "concurrency_key", "queue"),
    *(Now() - Coalesce("not_before", "created_at"), limits.HAS_LIMIT),
)


@dataclass(frozen=True)
class Resources:
    """An amount of CPU (in cores) and memory (in bytes)."""

    cpu: Decimal = Decimal(0)
    memory_bytes: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(self.cpu + other.cpu, self.memory_bytes + other.memory_bytes)


@dataclass(frozen=True)
class Capacity:
    """The queues and resources of a host. None: unknown, so no limit.

    CPU can be reserved `overcommit` times, because a run rarely uses all its CPU; memory only once.
    """

    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    cpus: float | None = None
    memory_bytes: int | None = None
    overcommit: float = 1.0

    def can_ever_fit(self, required: Resources) -> bool:
        return (self.cpus is None or required.cpu <= self.cpus) and self.can_fit_now(Resources(), required)

    def build_fit_filter(self) -> Q:
        """`can_ever_fit` as an SQL filter, so that runs that can never fit here do not block the queue."""
        fits = Q()
        if self.cpus is not None and self.cpus < MAX_CPU:
            fits &= Q(cpu__lte=Decimal(self.cpus).quantize(Decimal("0.01"), ROUND_FLOOR))
        if self.memory_bytes is not None:
            alone, beside = self.memory_bytes // MB, (self.memory_bytes - SIDECAR_LIMITS.memory_bytes) // MB
            fits &= Q(memory_mb__lte=beside) | Q(network="none", memory_mb__lte=alone)
        return fits

    def can_fit_now(self, reserved: Resources, required: Resources) -> bool:
        cpu, memory = reserved.cpu + required.cpu, reserved.memory_bytes + required.memory_bytes
        enough_cpu = self.cpus is None or cpu <= max(self.cpus * self.overcommit, float(required.cpu))
        return enough_cpu and (self.memory_bytes is None or memory <= self.memory_bytes)


def compute_required(cpu: Decimal, memory_mb: int, network: str) -> Resources:
    """The resources of a run: its CPU (a sidecar needs almost none) and the memory of all its containers."""
    return Resources(cpu, memory_mb * MB + (0 if network == "none" else SIDECAR_LIMITS.memory_bytes))


def sum_reserved() -> dict[str, Resources]:
    """What the live runs of each host have reserved."""
    return _add_sidecars(_sum_by_host(Run.objects.all()))


def sum_reserved_on(host: str) -> Resources:
    return _add_sidecars(_SUM_ON_HOST.fetch(host=host)).get(host, Resources())


def _sum_by_host(runs: QuerySet[Run]) -> QuerySet[Run, Any]:
    sums = {"cpu": Sum("cpu"), "memory": Sum("memory_mb"), "sidecars": Count("pk", filter=~Q(network="none"))}
    return runs.filter(status__in=ON_HOST).order_by().values_list("host").annotate(**sums)


_SUM_ON_HOST = CompiledQuery(lambda host: _sum_by_host(Run.objects.filter(host=host)), host=Run._meta.get_field("host"))


def _add_sidecars(sums: Iterable[tuple[str, Decimal, int, int]]) -> dict[str, Resources]:
    return {
        name: Resources(cpu, memory * MB + sidecars * SIDECAR_LIMITS.memory_bytes)
        for name, cpu, memory, sidecars in sums
    }


def _list_waiting(host: str, capacity: Capacity, active: Set[str]) -> Iterator[tuple[Any, ...]]:
    """The waiting runs that fit `host`, in the order of claims, with _FACTS. The first is locked, and comes twice."""
    first, following = _compile_waiting(host, capacity, warm.is_enabled())
    found = first.fetch()
    if found and str(found[0][0]) in active:
        rows = _select_waiting(host, capacity, warm.is_enabled()).exclude(pk__in=active)
        found = list(_lock_first(rows))
    if found:
        yield from found
        yield from (row for row in following.fetch() if str(row[0]) not in active)


@lru_cache(maxsize=16)
def _compile_waiting(host: str, capacity: Capacity, is_warm: bool) -> tuple[CompiledQuery[Any], CompiledQuery[Any]]:
    rows = _select_waiting(host, capacity, is_warm)
    return CompiledQuery(lambda: _lock_first(rows)), CompiledQuery(lambda: rows.values_list(*_FACTS)[:MAX_CONSIDERED])


def _select_waiting(host: str, capacity: Capacity, is_warm: bool) -> QuerySet[Run]:
    drained = Exists(Host.objects.filter(name=host, draining=True))
    may_start = is_due() & is_turn() & is_no_stale_attempt()
    waiting = Run.objects.filter(
        ~drained,
        IS_QUEUED,
        limits.IS_OUTSIDE_FULL_LIMITS,
        capacity.build_fit_filter(),
        may_start,
        queue__in=capacity.queues,
    )
    if is_warm:
        waiting = waiting.exclude(warm.is_promised_elsewhere(host))
    return waiting.order_by(*CLAIM_ORDER)


def _lock_first(waiting: QuerySet[Run]) -> QuerySet[Run, Any]:
    # A host that finds the row locked passes over it, without waiting: another is claiming it.
    return waiting.select_for_update(skip_locked=True, no_key=True).values_list(*_FACTS)[:1]


def choose_next_run(
    host: str,
    capacity: Capacity,
    active: Set[str] = frozenset(),
    waiting_bytes: int = 0,
    make_room: Callable[[], None] = lambda: None,
    in_use: Resources | None = None,
) -> UUID | None:
    """The first waiting run that fits `host` now, except `active` runs, which hold a slot there.

    On PostgreSQL call it in the transaction of the claim. It locks the first run and the limits of the chosen one, and
    passes over runs that other hosts are claiming at this moment.

    `in_use`: what this host's containers may use whose runs have ended.

    A run that fits the host, but not beside its active runs, is overtaken for MAX_PASS_OVER; then the host waits for
    it, so that small runs do not block a large run forever. A run that can never fit is left to other hosts. A drained
    host takes no run at once, although its worker learns of it with the next heartbeat. A run that has taken a waiting
    sandbox of another host is left to that host for a moment.

    The waiting sandboxes of this host use `waiting_bytes`. If the run fits only without them, `make_room` is called.
    """
    reserved: Resources | None = None
    check = limits.LimitCheck()
    for run_id, cpu, memory_mb, network, *group, waited, has_limit in _list_waiting(host, capacity, active):
        required = compute_required(cpu, memory_mb, network)
        if reserved is None:
            reserved = sum_reserved_on(host) + (in_use or Resources())
        if capacity.can_fit_now(reserved, required):
            if has_limit and not check.may_claim(run_id, *group):
                continue
            if not capacity.can_fit_now(
                reserved, replace(required, memory_bytes=required.memory_bytes + waiting_bytes)
            ):
                make_room()
            return UUID(str(run_id))
        if waited > MAX_PASS_OVER:
            return None
    return None
