"""The metrics of this process, in memory, by prometheus_client. Does not know the code that counts, nor the endpoint.

Workers store theirs in their host's row, from which any web process exports them; a web process exports its own.
Counters with known labels are exported as 0 from process start; otherwise `rate()` misses the first increment.
"""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STEP = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)  # a queue may be long

# Why a run began cold although sandboxes may wait; the words are in `runs.presentation.starts`.
COLD_REASONS = (
    *("none_waiting", "other_host", "gone", "defect", "requeued"),
    *("sandbox_mismatch", "sandbox_drift", "sidecar_unhealthy", "engine_error", "engine_unreachable", "internal_error"),
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # each would add a series with the time of its first value
WORKER, WEB = CollectorRegistry(), CollectorRegistry()

RUN_PHASES = Histogram(
    "cronium_run_phase_seconds",
    "Duration of a run's phases: in the queue, building the sandbox, and from the start to the first stored log.",
    ["phase"],
    buckets=LONG,
    registry=WORKER,
)
RUN_STEPS = Histogram(
    "cronium_run_step_seconds",
    "Time from the previous phase of a run's trace to this one (docs/api.md, Phases of a run).",
    ["phase"],
    buckets=STEP,
    registry=WORKER,
)
FIRST_LINES_SENT = Histogram(
    "cronium_first_line_sent_seconds",
    "Time from the request that launched a run to its first line at a client that waited for it.",
    buckets=STEP,
    registry=WEB,
)
LEASE_LOSSES = Counter(
    "cronium_lease_losses_total",
    "Leases that another process took over, of hosts and of runs.",
    ["kind"],
    registry=WORKER,
)
ADOPTIONS = Counter(
    "cronium_adoptions_total", "Runs taken over from an earlier process, with their script running.", registry=WORKER
)
REMOVED_OBJECTS = Counter(
    "cronium_reaped_total", "Left-over objects removed from the engine.", ["kind"], registry=WORKER
)
LOG_LINES = Counter("cronium_log_lines_total", "Lines of the runs' logs that were stored.", registry=WORKER)
LOG_BYTES = Counter("cronium_log_bytes_total", "Bytes of the runs' logs that were stored.", registry=WORKER)
DROPPED_CHANGES = Counter(
    "cronium_nudges_dropped_total",
    "Notifications of browsers that the channel layer did not accept.",
    registry=WORKER,
)
DROPPED_WAKEUPS = Counter(
    "cronium_wakeups_dropped_total",
    "Wake-up messages that the broker did not accept; the workers' sweep finds the runs.",
    registry=WORKER,
)
HTTP_REQUESTS = Histogram(
    "cronium_http_request_seconds",
    "Duration of requests, by route, method and class of status.",
    ["route", "method", "status"],
    buckets=SHORT,
    registry=WEB,
)
WARM_STARTS = Counter(
    "cronium_warm_starts_total",
    "Runs by how their sandbox began: warm and stem (a sandbox that waited, whole or without main), cold.",
    ["kind"],
    registry=WORKER,
)
WARM_MISSES = Counter("cronium_warm_misses_total", "Runs that began cold, by the reason.", ["reason"], registry=WORKER)
WARM_WAITING = Gauge("cronium_warm_waiting", "Sandboxes that wait for a run.", ["kind"], registry=WORKER)
WARM_BUILDS = Counter(
    "cronium_warm_builds_total", "Sandboxes prepared in advance, by result.", ["result"], registry=WORKER
)
for _kind in ("whole", "stem"):
    WARM_WAITING.labels(_kind)
for _counter, _kinds in (
    (LEASE_LOSSES, ("host", "run")),
    (REMOVED_OBJECTS, ("container", "network")),
    (WARM_STARTS, ("warm", "stem", "cold")),
    (WARM_MISSES, COLD_REASONS),
    (WARM_BUILDS, ("ready", "failed", "retired")),
):
    for _kind in _kinds:
        _counter.labels(_kind)


def take_snapshot(registry: CollectorRegistry) -> dict[str, Any]:
    """The samples of a registry as JSON: by family a list of [sample, labels, value]."""
    return {
        "families": {
            family.name: [[sample.name, sample.labels, sample.value] for sample in family.samples]
            for family in registry.collect()
        }
    }
