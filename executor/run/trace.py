"""When a run reached its phases, by this process's monotonic clock."""

import time
from collections.abc import Mapping

# In the order in which a run reaches them. `taken` instead of `prepared`: a waiting sandbox was used.
PHASES = (
    *(
        "claimed",
        "image_pulled",
        "network_made",
        "main_started",
        "sidecar_loaded",
        "sidecar_ready",
        "taken",
        "prepared",
        "bound",
    ),
    *("begun", "payload_sent", "first_byte", "first_line_stored", "exit_seen", "drained", "finished", "taken_down"),
)


class Trace:
    """The first time of each phase, from `time.monotonic`. Any thread may call any method."""

    def __init__(self, phase: str, at: float | None = None) -> None:
        """The trace begins with `phase`, at `at` or now."""
        self._times = {phase: time.monotonic() if at is None else at}

    def note(self, phase: str) -> None:
        """Only the first call for a phase counts: later ones cost a dictionary lookup."""
        if phase not in self._times:
            self._times.setdefault(phase, time.monotonic())  # atomic, so that the first of two threads counts

    @property
    def times(self) -> Mapping[str, float]:
        return dict(self._times)
