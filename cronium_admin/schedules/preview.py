"""The next times of a rule with the changes of the clock, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from cron_rules.evaluate import iterate_after, list_noted
from cron_rules.rules import Rule
from cronium_admin.schedules.notes import describe_note
from cronium_admin.schedules.rules import RuleFields, build_rule, format_local, to_datetime

MAX_COUNT = 1000


@dataclass(frozen=True)
class PreviewTime:
    """`local` is in the rule's zone. `note` is empty, or says what a change of the clock does."""

    at: datetime
    local: str
    note: str = ""


def preview_times(fields: RuleFields, after: int, count: int) -> list[PreviewTime]:
    """The next `count` times after the instant `after`. Raises RuleError."""
    rule = build_rule(fields)
    times = list(islice(iterate_after(rule, after), count))
    return list(_add_notes(rule, fields.timezone, after, times))


def _add_notes(rule: Rule, zone: str, after: int, times: list[int]) -> Iterator[PreviewTime]:
    if not times:
        return
    noted = list_noted(rule, after + 1, times[-1] + 1)
    by_instant = {found.at: describe_note(found) for found in noted if found.runs}
    skipped = [found for found in noted if not found.runs]
    for instant in times:
        passed = [found for found in skipped if found.at <= instant]
        skipped = skipped[len(passed) :]
        notes = [by_instant.get(instant, ""), *(_describe_skipped(found.labels[0], zone) for found in passed[:3])]
        yield PreviewTime(to_datetime(instant), format_local(instant, zone), "; ".join(filter(None, notes)))


def _describe_skipped(label: int, zone: str) -> str:
    when = to_datetime(label).strftime("%Y-%m-%d %H:%M")
    return f"skipped before it: {when} does not exist in {zone}"
