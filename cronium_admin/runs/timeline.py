"""The timeline of a run: its stored events, and the events that its own columns record."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cronium_admin.runs.models import TERMINAL, Run, RunEvent

# The order of simultaneous events: SQLite's clock has milliseconds. All others rank between start and end.
_RANKS = {"queued": 0, "requeued": 0, "engine_away": 0, "claimed": 1, "started": 2}
_RANKS |= {status.value: 4 for status in TERMINAL}


@dataclass(frozen=True)
class TimelineEvent:
    at: datetime
    kind: str
    message: str
    by: str = ""


def build_timeline(run: Run) -> list[TimelineEvent]:
    stored = [TimelineEvent(event.at, event.kind, event.message, event.by) for event in run.events.all()]
    # Older versions stored all events.
    missing = [
        event
        for event in _derive_events(run)
        if not any(other.kind == event.kind and other.at >= event.at for other in stored)
    ]
    return sorted([*stored, *missing], key=lambda event: (event.at, _RANKS.get(event.kind, 3)))


def describe_claim(host: str) -> str:
    return f"Claimed by host {host}"


def _derive_events(run: Run) -> Iterator[TimelineEvent]:
    if run.claimed_at:
        yield TimelineEvent(run.claimed_at, "claimed", describe_claim(run.host))
    if run.started_at:
        yield TimelineEvent(run.started_at, "started", "The script began")
    if run.finished_at:
        yield TimelineEvent(run.finished_at, run.status, run.message[: RunEvent.LONGEST])
