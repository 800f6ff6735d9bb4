"""Counts and measures what this process does, in memory. Knows neither who counts nor who reads.

Every number begins at zero with its process, as Prometheus expects of a counter, and a counter whose labels are known
is told from then on: of one that appears with its first event, a rate would never see that event.
"""

import threading
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, Literal

SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)  # a queue may be long


@dataclass(frozen=True)
class Metric:
    """What a number means. `of` says whose it is: a worker's are kept on its host's row, a web process's stay."""

    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # upper bounds in seconds; empty for a counter
    of: Literal["worker", "web"] = "worker"
    known: tuple[tuple[str, ...], ...] = ()  # the label values of a counter that are told while they are zero

    @classmethod
    def counter(cls, help: str, label: str = "", values: tuple[str, ...] = ()) -> "Metric":
        """A worker's counter, without a label or with one."""
        return cls(help, (label,), known=tuple((value,) for value in values)) if label else cls(help, known=((),))


METRICS: dict[str, Metric] = {
    "cronium_run_phase_seconds": Metric(
        "How long runs were queued, how long their sandbox took, and how long after their start the first log came.",
        ("phase",),
        LONG,
    ),
    "cronium_lease_losses_total": Metric.counter(
        "Leases that another process took over, of hosts and of runs.", "kind", ("host", "run")
    ),
    "cronium_adoptions_total": Metric.counter("Runs taken over from an earlier process, with their script running."),
    "cronium_reaped_total": Metric.counter(
        "Left-over objects removed from the engine.", "kind", ("container", "network")
    ),
    "cronium_log_lines_total": Metric.counter("Lines of the runs' logs that were stored."),
    "cronium_log_bytes_total": Metric.counter("Bytes of the runs' logs that were stored."),
    "cronium_nudges_dropped_total": Metric.counter(
        "Messages to watching browsers that the channel layer did not take."
    ),
    "cronium_wakeups_dropped_total": Metric.counter(
        "Messages to the workers that the broker did not take; their sweep finds the runs."
    ),
    "cronium_http_request_seconds": Metric(
        "How long requests took, by route, method and class of status.", ("route", "method", "status"), SHORT, "web"
    ),
}


@dataclass
class _Measured:
    buckets: list[int]
    sum: float = 0.0


_lock = threading.Lock()
_ZEROS = {(name, labels): 0.0 for name, metric in METRICS.items() for labels in metric.known}
_counts: dict[tuple[str, tuple[str, ...]], float] = {}
_measures: dict[tuple[str, tuple[str, ...]], _Measured] = {}


def _make_key(name: str, labels: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    return name, tuple(labels[label] for label in METRICS[name].labels)


def increment_counter(name: str, n: float = 1, **labels: str) -> None:
    """Add `n` to a counter of METRICS. From any thread."""
    key = _make_key(name, labels)
    with _lock:
        _counts[key] = _counts.get(key, 0) + n


def observe_duration(name: str, seconds: float, **labels: str) -> None:
    """Enter a duration into a histogram of METRICS; a time that runs backwards counts as none. From any thread."""
    key, bounds = _make_key(name, labels), METRICS[name].buckets
    seconds = max(0.0, seconds)
    with _lock:
        found = _measures.setdefault(key, _Measured([0] * (len(bounds) + 1)))
        found.buckets[bisect_left(bounds, seconds)] += 1
        found.sum += seconds


def take_snapshot(of: Literal["worker", "web"] = "worker") -> dict[str, Any]:
    """All numbers so far, fit for JSON: by name a list of {"labels"} with "value", or with "buckets" and "sum".

    `buckets` holds how many fell into each one alone; the last is for what lies above all bounds.
    """
    found: dict[str, Any] = {name: [] for name, metric in METRICS.items() if metric.of == of}
    with _lock:
        for (name, labels), value in (_ZEROS | _counts).items():
            if name in found:
                found[name].append({"labels": list(labels), "value": value})
        for (name, labels), one in _measures.items():
            if name in found:
                found[name].append({"labels": list(labels), "buckets": list(one.buckets), "sum": round(one.sum, 6)})
    return {name: rows for name, rows in found.items() if rows}


def reset_metrics() -> None:
    """Begin at zero, as a new process does."""
    with _lock:
        _counts.clear()
        _measures.clear()
