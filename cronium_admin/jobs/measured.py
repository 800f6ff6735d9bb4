"""What the last runs of a job took, for the editor's hints under memory and timeout."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cronium_admin.jobs.models import Job
from cronium_admin.jobs.recent_runs import MAX_RUNS, TRY


@dataclass(frozen=True)
class Measured:
    """Of the last `count` runs that have ended; `memory` in MB, None: not measured."""

    count: int
    memory_mb: float | None
    duration: timedelta


def measure_job(job: Job | None) -> Measured | None:
    """None if no run has started and ended. The caller has checked that the user sees the job."""
    if job is None or job.pk is None:
        return None
    runs: Any = job.runs.filter(started_at__isnull=False, finished_at__isnull=False).exclude(trigger=TRY)  # type: ignore[attr-defined,unused-ignore]
    rows = list(runs.order_by("-number").values_list("peak_memory_bytes", "started_at", "finished_at")[:MAX_RUNS])
    if not rows:
        return None
    peaks = [peak for peak, _, _ in rows if peak]
    longest = max(finished - started for _, started, finished in rows)
    return Measured(len(rows), max(peaks) / 1024 / 1024 if peaks else None, longest)
