"""The metrics in Prometheus' text format: runs from the database, workers' metrics from their hosts' rows, and those of
this process."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, Q
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from cronium_admin.core import metrics
from cronium_admin.core.database.clock import database_now
from cronium_admin.expectations.listing import count_open_by_kind
from cronium_admin.runs.models import LIVE, TERMINAL, Run, Status
from cronium_admin.workers import process
from cronium_admin.workers.hosts.service import HostView, fetch_hosts

CACHE_SECONDS = 10.0
SETTLED_AFTER = timedelta(minutes=10)  # a margin for differing clocks, and for rows that are committed late
# Metric, help, column of a host's row. A column without a value has no sample.
_HOST_GAUGES = [
    ("cronium_host_draining", "1 while the host is draining: it takes no new runs.", "draining"),
    ("cronium_host_unsafe", "1 when a probe of the host's isolation check escaped.", "unsafe"),
    ("cronium_host_capacity", "Number of the host's slots: the most runs that it executes at once.", "capacity"),
    ("cronium_host_running", "Number of the host's slots that hold a run.", "running"),
    ("cronium_host_cpus", "CPUs of the host's engine.", "cpus"),
    ("cronium_host_load1", "One-minute load average of the worker's machine.", "load"),
    ("cronium_host_memory_bytes", "Memory of the host's engine for containers.", "memory_bytes"),
    ("cronium_host_memory_used_bytes", "Memory in use on the worker's machine.", "memory_used_bytes"),
]


@dataclass(frozen=True)
class DatabaseState:
    """The numbers of ended and live runs, and the hosts."""

    ended: list[tuple[str, str, int]]  # status, reason
    live: list[tuple[str, str, str, int]]  # status, queue, host
    hosts: list[HostView]
    incidents: dict[str, int]  # open ones by kind


class DatabaseStateCache:
    """The state, at most CACHE_SECONDS old; one thread at a time queries the database.

    An ended run never changes. So runs that were created before every live run are settled: the first query of a
    process counts them once. Later queries count newer runs only, and stay cheap for any number of runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at = -CACHE_SECONDS
        self._state = DatabaseState([], [], [], {})
        self._settled: Counter[tuple[str, str]] = Counter()
        self._reported: Counter[tuple[str, str]] = Counter()
        self._until = datetime.min.replace(tzinfo=UTC)  # settled runs were created before this time

    def fetch_state(self) -> DatabaseState:
        with self._lock:
            if time.monotonic() - self._at >= CACHE_SECONDS:
                self._state = self._query_state()
                self._at = time.monotonic()
            return self._state

    def _query_state(self) -> DatabaseState:
        hosts = fetch_hosts()
        living = Run.objects.filter(status__in=LIVE).order_by().values_list("status", "queue", "host")
        live = list(living.annotate(n=Count("*"), oldest=Min("created_at")))
        until = max(self._until, min([database_now() - SETTLED_AFTER, *(row[4] for row in live)]))
        newer = Run.objects.filter(status__in=TERMINAL, created_at__gte=self._until).order_by()
        old = Count("pk", filter=Q(created_at__lt=until))
        ended = self._settled.copy()
        for status, reason, number, settled in newer.values_list("status", "reason").annotate(n=Count("*"), old=old):
            ended[status, reason] += number
            self._settled[status, reason] += settled
        for key, number in self._reported.items():  # a counter never decreases, although runs are deleted
            ended[key] = max(ended[key], number)
        self._reported = ended
        self._until = until
        numbers = [(*key, n) for key, n in ended.items()]
        return DatabaseState(numbers, [row[:4] for row in live], hosts, count_open_by_kind())


state_cache = DatabaseStateCache()


class _CroniumCollector(Collector):
    def __init__(self, state: DatabaseState) -> None:
        self._state = state

    def collect(self) -> Iterator[Family]:
        build = GaugeMetricFamily("cronium_build_info", "The version that answers.", labels=["version"])
        build.add_metric([settings.VERSION], 1)
        yield build
        yield from _build_run_families(self._state)
        yield _build_incident_family(self._state.incidents)
        yield from _build_host_families(self._state.hosts)
        yield from metrics.WEB.collect()
        yield from _build_worker_families(self._state.hosts)


def _build_run_families(state: DatabaseState) -> Iterator[Family]:
    ended = CounterMetricFamily(
        "cronium_runs",
        "Runs that have ended; after a restart without those that were deleted.",
        labels=["status", "reason"],
    )
    for status, reason, number in state.ended:
        ended.add_metric([status, reason], number)
    yield ended
    live = GaugeMetricFamily(
        "cronium_runs_live", "Runs that wait (queued) or are on a host.", labels=["status", "queue", "host"]
    )
    # A served queue without runs is exported as 0: a series that ends looks like a missing measurement.
    numbers = {(Status.QUEUED.value, queue, ""): 0 for host in state.hosts for queue in host.queues}
    numbers |= {row[:3]: row[3] for row in state.live}
    for labels, number in numbers.items():
        live.add_metric(labels, number)
    yield live


def _build_incident_family(incidents: dict[str, int]) -> Family:
    family = GaugeMetricFamily(
        "cronium_incidents_open", "Open incidents: late jobs, and checks whose ping did not come.", labels=["kind"]
    )
    for kind, number in incidents.items():
        family.add_metric([kind], number)
    return family


def _build_host_families(hosts: list[HostView]) -> Iterator[Family]:
    up = GaugeMetricFamily("cronium_host_up", "1 while the host's worker sends heartbeats.", labels=["host"])
    for host in hosts:
        up.add_metric([host.row.name], host.alive)
    yield up
    for name, help_text, column in _HOST_GAUGES:
        gauge = GaugeMetricFamily(name, help_text, labels=["host"])
        for host in hosts:
            if (value := getattr(host.row, column)) is not None and host.alive:
                gauge.add_metric([host.row.name], value)
        yield gauge


def _build_worker_families(hosts: list[HostView]) -> Iterator[Family]:
    snapshots = [(host.row.name, host.row.counters) for host in hosts if host.alive]
    if not process.get_current_worker():
        snapshots.append(("", metrics.take_snapshot(metrics.WORKER)))
    for declared in metrics.WORKER.collect():
        family = Family(declared.name, declared.documentation, declared.type)
        for host_name, snapshot in snapshots:
            for name, labels, value in snapshot.get("families", {}).get(declared.name, ()):
                family.add_sample(name, {"host": host_name, **labels}, value)
        yield family


def render_metrics() -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_CroniumCollector(state_cache.fetch_state()))
    return generate_latest(registry)
