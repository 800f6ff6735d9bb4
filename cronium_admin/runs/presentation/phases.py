"""The phases of a run, to scale: queued, sandbox, running; and the steps of its trace. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cronium_admin.runs.trace import list_steps


@dataclass(frozen=True)
class Phase:
    """`end` is None while the phase lasts; `share` is its percentage of the run, rounded, at least 1."""

    name: str
    start: datetime
    end: datetime | None
    length: timedelta
    share: int


def build_phases(
    created: datetime,
    claimed: datetime | None,
    started: datetime | None,
    finished: datetime | None,
    now: datetime,
) -> list[Phase]:
    """The phases that the run has entered, in order. Times out of order (clocks differ) count as zero length."""
    starts = [("queued", created), ("sandbox", claimed), ("running", started)]
    entered = [(name, at) for name, at in starts if at is not None]
    until = finished or now
    ends = [at for _, at in entered[1:]] + [until]
    lengths = [max(timedelta(), end - start) for (_, start), end in zip(entered, ends, strict=True)]
    total = sum(lengths, timedelta()) or timedelta(seconds=1)
    last = len(entered) - 1
    return [
        Phase(
            name=name,
            start=start,
            end=None if place == last and finished is None else start + length,
            length=length,
            share=max(1, round(100 * (length / total))),
        )
        for place, ((name, start), length) in enumerate(zip(entered, lengths, strict=True))
    ]


# What happens until the phase of the trace is reached.
_STEPS = {
    "queued": "Request checked and stored",
    "claimed": "In the queue",
    "image_pulled": "Image pulled",
    "taken": "Waiting sandbox taken",
    "prepared": "Sandbox built",
    "bound": "Sandbox given to the run",
    "begun": "Sandbox verified, start stored",
    "payload_sent": "Script sent",
    "first_byte": "Script, until its first output",
    "first_line_stored": "First line stored",
    "exit_seen": "Script, until its end",
    "drained": "Rest of the output stored",
    "finished": "Result stored",
    "taken_down": "Sandbox removed",
    "adopted": "Under the earlier worker",
}
_OF_SCRIPT = ("first_byte", "exit_seen", "adopted")
BAR = 1000  # the length of all bars in sequence
_SHORTEST = 4


@dataclass(frozen=True)
class TraceRow:
    """One step of a trace; `took` in milliseconds. Its bar begins at `x`; both are 0 for the time of the script."""

    words: str
    took: float
    is_of_script: bool
    x: int
    width: int


@dataclass(frozen=True)
class TraceTable:
    """The steps of a run in order. `overhead` is their time without that of the script; all times in milliseconds.

    `first_line` and `first_line_sent` count from the request; None: not reached.
    """

    rows: list[TraceRow]
    overhead: float
    first_line: float | None
    first_line_sent: float | None
    is_adopted: bool


def build_trace_table(offsets: Mapping[str, float]) -> TraceTable | None:
    """None without two phases. The bars are to scale without the time of the script, which may last for hours."""
    if not (steps := list_steps(offsets)):
        return None
    overhead = sum(step.end - step.start for step in steps if step.phase not in _OF_SCRIPT)
    rows, passed = [], 0.0
    for step in steps:
        took, is_of_script = step.end - step.start, step.phase in _OF_SCRIPT
        x = width = 0
        if not is_of_script:
            x = min(BAR - _SHORTEST, round(BAR * passed / overhead)) if overhead else 0
            width = max(_SHORTEST, min(BAR - x, round(BAR * took / overhead))) if overhead else _SHORTEST
            passed += took
        rows.append(TraceRow(_STEPS[step.phase], took, is_of_script, x, width))
    sent = offsets.get("first_line_at_socket")
    return TraceTable(rows, overhead, offsets.get("first_line_stored"), sent, "adopted" in offsets)
