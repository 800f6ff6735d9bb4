"""The trace of a run in the process that executes it: continues the stored one by the process's monotonic clock."""

import threading
import time
from collections.abc import Mapping

from cronium_admin.core import metrics
from cronium_admin.runs.models import Run
from cronium_admin.runs.trace import list_steps, pack_offsets, unpack_offsets
from executor.run.trace import Trace

# The sums of steps that RUN_PHASES has, by its label: the phases at their start and end.
_SUMS = {"sandbox": ("claimed", "begun"), "first_log": ("begun", "first_line_stored")}


class RunTrace:
    """Counts from the phase that this process saw first, at `offset` milliseconds. Any thread may call any method.

    Without an offset only the metrics are known: the run was launched by an older version.
    """

    def __init__(
        self, stored: Mapping[str, float] | None = None, first: str = "claimed", offset: float | None = None
    ) -> None:
        self._stored = dict(stored or {})
        self._first, self._offset = first, offset
        self._trace = Trace(first)
        self._lock = threading.Lock()  # the next attribute
        self._observed: set[str] = set()

    @classmethod
    def start(cls, run: Run) -> "RunTrace":
        """Call right after the claim of `run`."""
        stored = unpack_offsets(run.trace)
        # The clock may have been set back.
        waited = max(0.0, (run.claimed_at - run.created_at).total_seconds()) if run.claimed_at else 0.0
        if "accepted" in stored:
            metrics.RUN_STEPS.labels("queued").observe(stored["queued"] / 1000)
        metrics.RUN_STEPS.labels("claimed").observe(waited)
        metrics.RUN_PHASES.labels("queued").observe(waited)
        return cls(stored, "claimed", stored["queued"] + 1000 * waited if "queued" in stored else None)

    @classmethod
    def continue_adopted(cls, run: Run, seconds: float) -> "RunTrace":
        """For a run that began `seconds` ago, by the database's clock, under another process."""
        stored = unpack_offsets(run.trace)
        return cls(stored, "adopted", stored["begun"] + 1000 * seconds if "begun" in stored else None)

    def note(self, phase: str) -> None:
        self._trace.note(phase)

    def pack(self, reached: str = "") -> str:
        """The stored phases, those noted so far, and `reached` as of now; empty if the offset is unknown."""
        if self._offset is None:
            return ""
        times = self._trace.times
        if reached:
            times = {reached: time.monotonic(), **times}
        own = {phase: self._offset + 1000 * (at - times[self._first]) for phase, at in times.items()}
        return pack_offsets(own | self._stored)

    def observe(self) -> None:
        """Count the steps noted since the last call in the metrics, except those whose start another process saw."""
        times = self._trace.times
        with self._lock:
            for step in list_steps(times):
                if step.before != "adopted" and self._is_new(step.phase):
                    metrics.RUN_STEPS.labels(step.phase).observe(step.end - step.start)
            for label, (before, phase) in _SUMS.items():
                if before in times and phase in times and self._is_new(label):
                    metrics.RUN_PHASES.labels(label).observe(times[phase] - times[before])

    def _is_new(self, label: str) -> bool:
        is_new = label not in self._observed
        self._observed.add(label)
        return is_new
