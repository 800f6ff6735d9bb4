"""Which waiting run a host may take next: of its queues, and within the memory and CPU that it has to promise.

Pure reading; the claim itself is a transition.
"""

from collections.abc import Set
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal
from uuid import UUID

from django.db.models import Count, Exists, F, Q, Sum

from cronium_admin.core.database.clock import Now
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.runs.models import ON_HOST, Run, Status
from cronium_admin.workers.hosts.models import Host
from executor.sandbox.options import SIDECAR_LIMITS

MB = 1024 * 1024
# How long smaller runs may go before one that fits the host, but not beside what runs there now.
MAX_PASS_OVER = timedelta(seconds=60)
MAX_CONSIDERED = 200  # waiting runs that one claim considers, of those that fit the host
MAX_CPU = 99.99  # that a run can ask for


@dataclass(frozen=True)
class Resources:
    """An amount of CPU (in cores) and memory (in bytes)."""

    cpu: Decimal = Decimal(0)
    memory_bytes: int = 0


@dataclass(frozen=True)
class Capacity:
    """What a host takes: runs of `queues`, and what it has for them. None: not known, so no limit.

    CPU may be promised `overcommit` times, as one run rarely uses all of its share; memory once.
    """

    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    cpus: float | None = None
    memory_bytes: int | None = None
    overcommit: float = 1.0

    def can_ever_fit(self, wanted: Resources) -> bool:
        """Whether a run that wants this fits the host while nothing else is there."""
        return (self.cpus is None or wanted.cpu <= self.cpus) and self.can_fit_now(Resources(), wanted)

    def build_fit_filter(self) -> Q:
        """The same of rows of runs: many that never fit must not stand before one that does."""
        fits = Q()
        if self.cpus is not None and self.cpus < MAX_CPU:
            fits &= Q(cpu__lte=Decimal(self.cpus).quantize(Decimal("0.01"), ROUND_FLOOR))
        if self.memory_bytes is not None:
            alone, beside = self.memory_bytes // MB, (self.memory_bytes - SIDECAR_LIMITS.memory_bytes) // MB
            fits &= Q(memory_mb__lte=beside) | Q(network="none", memory_mb__lte=alone)
        return fits

    def can_fit_now(self, taken: Resources, wanted: Resources) -> bool:
        """Whether it fits beside what is taken."""
        cpu, memory = taken.cpu + wanted.cpu, taken.memory_bytes + wanted.memory_bytes
        enough_cpu = self.cpus is None or cpu <= max(self.cpus * self.overcommit, float(wanted.cpu))
        return enough_cpu and (self.memory_bytes is None or memory <= self.memory_bytes)


def compute_required(cpu: Decimal, memory_mb: int, network: str) -> Resources:
    """What a run is promised: its own CPU (a sidecar's is next to nothing) and the memory of all its containers."""
    return Resources(cpu, memory_mb * MB + (0 if network == "none" else SIDECAR_LIMITS.memory_bytes))


def sum_reserved(host: str | None = None) -> dict[str, Resources]:
    """What is promised to the runs on each host, by its name; one query. Hosts without runs are not in it."""
    on_host = Run.objects.filter(status__in=ON_HOST, **({"host": host} if host else {})).order_by()
    sums = on_host.values_list("host").annotate(
        cpu=Sum("cpu"), memory=Sum("memory_mb"), sidecars=Count("pk", filter=~Q(network="none"))
    )
    return {
        name: Resources(cpu, memory * MB + sidecars * SIDECAR_LIMITS.memory_bytes)
        for name, cpu, memory, sidecars in sums
    }


def choose_next_run(host: str, offer: Capacity, active: Set[str] = frozenset()) -> UUID | None:
    """The run that has waited longest of those that fit `host` now; none of `active`, which hold a slot there.

    One that fits the host but not beside its other runs is passed over for PASS_OVER; then the host waits for it,
    so that small runs never keep a large one waiting for ever. One that never fits this host is left to others.
    A drained host takes nothing from that moment on, although its worker hears of it with its next heartbeat only.
    """
    drained = Exists(Host.objects.filter(name=host, draining=True))
    waiting = Run.objects.filter(~drained, offer.build_fit_filter(), status=Status.QUEUED, queue__in=offer.queues)
    waiting = waiting.exclude(pk__in=active)
    taken: Resources | None = None
    rows = waiting.order_by("created_at", "id").values_list(
        "pk", "cpu", "memory_mb", "network", Now() - F("created_at")
    )
    for run_id, cpu, memory_mb, network, waited in rows[:MAX_CONSIDERED]:
        wanted = compute_required(cpu, memory_mb, network)
        if taken is None:
            taken = sum_reserved(host).get(host, Resources())
        if offer.can_fit_now(taken, wanted):
            return UUID(str(run_id))
        if waited > MAX_PASS_OVER:
            return None
    return None
