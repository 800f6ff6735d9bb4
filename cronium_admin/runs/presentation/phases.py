"""The phases of a run, to scale: queued, sandbox, running. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta


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
