"""The durations of a job's last ended runs, as bars, each a link to its run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from statistics import median
from typing import Any

from cronium_admin.core.templatetags.ui import STATES, derive_display_status
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.recent_runs import TRY

MAX_RUNS = 60
HEIGHT, STEP = 64, 10  # of the tallest bar, and from one bar to the next
_MIN_RUNS = 3  # fewer bars say nothing
_MIN_SLOTS = 30  # so that a few bars are not wide
_COLUMNS = ("pk", "job_id", "number", "status", "cancel_requested_at", "created_at", "started_at", "finished_at")


@dataclass(frozen=True)
class DurationBar:
    """`status` is a key of STATES."""

    run: Any
    seconds: float
    x: int
    y: float
    height: float
    status: str

    @property
    def duration(self) -> timedelta:
        return timedelta(seconds=self.seconds)

    @property
    def word(self) -> str:
        return STATES[self.status][1]

    @property
    def is_good(self) -> bool:
        return self.status == "succeeded"


@dataclass(frozen=True)
class DurationBars:
    """Oldest first. `usual` is the median of the successful runs; None without one."""

    bars: list[DurationBar]
    usual: timedelta | None
    usual_y: float

    @property
    def version(self) -> str:
        shown = [(bar.run.pk.hex, bar.run.started_at, bar.run.finished_at, bar.status) for bar in self.bars]
        return sha256(repr(shown).encode()).hexdigest()[:16]

    @property
    def width(self) -> int:
        return max(_MIN_SLOTS, len(self.bars)) * STEP

    @property
    def longest(self) -> DurationBar:
        return max(self.bars, key=lambda bar: bar.seconds)

    @property
    def newest_first(self) -> list[DurationBar]:
        return self.bars[::-1]

    @property
    def bad(self) -> int:
        return sum(not bar.is_good for bar in self.bars)


def fetch_duration_bars(job: Job) -> DurationBars | None:
    """Of the last MAX_RUNS runs those that started and ended, without tries; None if they are too few."""
    runs: Any = job.runs  # type: ignore[attr-defined,unused-ignore]
    recent = runs.filter(number__gt=job.last_run_number - MAX_RUNS, started_at__isnull=False, finished_at__isnull=False)
    return build_duration_bars(list(recent.exclude(trigger=TRY).order_by("number").only(*_COLUMNS)))


def build_duration_bars(runs: Sequence[Any]) -> DurationBars | None:
    if len(runs) < _MIN_RUNS:
        return None
    seconds = [max(0.0, (run.finished_at - run.started_at).total_seconds()) for run in runs]
    most = max(seconds) or 1.0
    bars, first = [], max(0, _MIN_SLOTS - len(runs))
    for place, (run, took) in enumerate(zip(runs, seconds, strict=True), first):
        height = round(max(2.0, took * HEIGHT / most), 1)  # the shortest run stays visible
        status = derive_display_status(run)
        bars.append(DurationBar(run, took, place * STEP + 1, round(HEIGHT - height, 1), height, status))
    good = [bar.seconds for bar in bars if bar.is_good]
    usual = median(good) if good else None
    usual_y = round(HEIGHT - (usual or 0.0) * HEIGHT / most, 1)
    return DurationBars(bars, None if usual is None else timedelta(seconds=usual), usual_y)
