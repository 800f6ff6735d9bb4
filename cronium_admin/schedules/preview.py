"""The next times of a rule with the changes of the clock, closed times and moved times, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from cron_rules.evaluate import list_noted
from cron_rules.plan import Plan, PlannedTime
from cron_rules.rules import Rule
from cronium_admin.schedules.decisions import format_minute
from cronium_admin.schedules.notes import describe_note
from cronium_admin.schedules.rules import RuleFields, build_fields_plan, format_local, to_datetime

MAX_COUNT = 1000
MAX_SEARCHED = 20_000  # times, for one preview


@dataclass(frozen=True)
class PreviewTime:
    """`local` is in the rule's zone. `note` is empty, or says what a change of the clock or a closed day does.

    Neighbouring times that don't run, for one reason, are one row with a `count`.
    """

    at: datetime
    local: str
    note: str = ""
    runs: bool = True
    count: int = 1


def preview_times(fields: RuleFields, after: int, count: int) -> list[PreviewTime]:
    """The next `count` times after the instant `after`. Raises RuleError."""
    return preview_plan(build_fields_plan(fields), fields.timezone, after, count)


def preview_plan(plan: Plan, zone: str, after: int, count: int) -> list[PreviewTime]:
    times = list(_iterate_joined(plan, after, count))
    return list(_add_notes(plan.rule, zone, after, times))


def _iterate_joined(plan: Plan, after: int, count: int) -> Iterator[tuple[PlannedTime, int]]:
    """With the number of closed times that each stands for."""
    first, closed, shown = None, 0, 0
    for time in islice(plan.iterate(after), MAX_SEARCHED):
        if first is not None and time.closed != first.closed:
            yield first, closed
            first, closed, shown = None, 0, shown + 1
        if shown == count:
            return
        if not time.runs:
            first, closed = first or time, closed + 1
            continue
        yield time, 1
        shown += 1
        if shown == count:
            return
    if first is not None:
        yield first, closed


def _add_notes(rule: Rule, zone: str, after: int, times: list[tuple[PlannedTime, int]]) -> Iterator[PreviewTime]:
    if not times:
        return
    noted = list_noted(rule, after + 1, times[-1][0].at + 1)
    by_instant = {found.at: describe_note(found) for found in noted if found.runs}
    skipped = [found for found in noted if not found.runs]
    for time, count in times:
        passed = [found for found in skipped if found.at <= time.at]
        skipped = skipped[len(passed) :]
        notes = [by_instant.get(time.nominal, ""), _describe_plan(time, zone, count)]
        notes += [_describe_skipped(found.labels[0], zone) for found in passed[:3]]
        text = "; ".join(filter(None, notes))
        yield PreviewTime(to_datetime(time.at), format_local(time.at, zone), text, time.runs, count)


def _describe_plan(time: PlannedTime, zone: str, count: int) -> str:
    """What the calendar and the blackout windows do."""
    notes = []
    if time.moved:
        notes.append(f"moved from {format_minute(time.nominal, zone)}, {time.moved}")
    if time.merged:
        shown = [f"{format_minute(part.nominal, zone)}, {part.reason}" for part in time.merged[:3]]
        more = f" and {len(time.merged) - 3} more" if len(time.merged) > 3 else ""
        notes.append(f"merged with {'; '.join(shown)}{more}")
    if not time.runs:
        notes.append(f"does not run: {time.closed}" + (f", {count:,} times" if count > 1 else ""))
    return "; ".join(notes)


def _describe_skipped(label: int, zone: str) -> str:
    when = to_datetime(label).strftime("%Y-%m-%d %H:%M")
    return f"skipped before it: {when} does not exist in {zone}"
