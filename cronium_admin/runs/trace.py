"""The trace of a run: when it reached its phases, in milliseconds since the request to launch it was accepted.

Without a request, as for a run that another program part launches, the time counts from the phase `queued`. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

# The order in the stored text: append new phases at the end, and never change the order.
STORED = (
    *("accepted", "queued", "claimed", "network_made", "main_started", "sidecar_loaded", "sidecar_ready"),
    *("taken", "prepared", "bound", "begun", "payload_sent", "first_byte", "first_line_stored", "exit_seen"),
    *("drained", "finished", "taken_down", "adopted", "image_pulled"),
)
# Parts of the phase `prepared` that overlap.
PARTS = ("network_made", "main_started", "sidecar_loaded", "sidecar_ready")
STEPS = tuple(phase for phase in STORED if phase not in PARTS)


@dataclass(frozen=True)
class Step:
    """The time from one phase to the next."""

    before: str
    phase: str
    start: float
    end: float


def pack_offsets(offsets: Mapping[str, float]) -> str:
    """For each phase of STORED the time since the previous known one, in 0.1 ms; empty for an unknown phase."""
    parts, last = [], 0
    for phase in STORED:
        if phase not in offsets:
            parts.append("")
            continue
        value = round(offsets[phase] * 10)
        parts.append(str(value - last))
        last = value
    return ",".join(parts).rstrip(",")


def unpack_offsets(text: str) -> dict[str, float]:
    offsets, value = {}, 0
    for phase, part in zip(STORED, text.split(","), strict=False):  # a newer version may have stored more phases
        if part:
            value += int(part)
            offsets[phase] = value / 10
    return offsets


def pack_launch(request_age: float | None) -> str:
    """The trace of a run that is inserted now; `request_age` in seconds."""
    return pack_offsets({"queued": 0} if request_age is None else {"accepted": 0, "queued": request_age * 1000})


def list_steps(times: Mapping[str, float]) -> list[Step]:
    """In the order in which the phases were reached. Parts of a phase are no steps."""
    reached = sorted((phase for phase in STEPS if phase in times), key=lambda phase: times[phase])
    return [Step(before, phase, times[before], times[phase]) for before, phase in pairwise(reached)]
