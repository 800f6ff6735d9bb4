"""What the next changes of the clock do to the times of a plan. It uses the evaluator that fires schedules."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile

from cron_rules.evaluate import Occurrence, list_noted
from cron_rules.plan import Plan, PlannedTime
from cron_rules.rules import ClockRule
from cron_rules.zones import DAY, Transition, load_zone
from cronium_admin.runs.zone_times import format_zoned
from cronium_admin.schedules.notes import describe_note
from cronium_admin.schedules.rules import format_local, to_datetime

HORIZON_DAYS = 396  # 13 months
MAX_CHANGES = 6
MAX_SHOWN = 12  # times of one change
MAX_TIMES = 1440  # of a day: the times of a rule with more are not listed
MAX_SEARCHED = 20_000


@dataclass(frozen=True)
class ChangedTime:
    """`at` is None for a local time that does not exist and has no run. `local` is in the rule's zone."""

    at: datetime | None
    local: str
    text: str
    note: str
    runs: bool


@dataclass(frozen=True)
class ClockChange:
    """`words` is a sentence. `times`: those that the change moves, merges, doubles or skips; `more` are not listed."""

    at: datetime
    local: str
    words: str
    times: list[ChangedTime]
    more: int = 0
    is_listed: bool = True


def list_clock_changes(plan: Plan, zone: str, after: int) -> list[ClockChange]:
    """Empty for a zone without changes, and for a rule without times of day."""
    rule = plan.rule
    if not isinstance(rule, ClockRule):
        return []
    found = load_zone(zone).list_between(after, after + HORIZON_DAYS * DAY)
    return [_describe_change(plan, rule, zone, change) for change in found[:MAX_CHANGES]]


def _describe_change(plan: Plan, rule: ClockRule, zone: str, change: Transition) -> ClockChange:
    at, local = to_datetime(change.at), format_local(change.at, zone)
    words = describe_change(zone, change)
    if len(rule.times) > MAX_TIMES:
        return ClockChange(at, local, words, [], is_listed=False)
    size = abs(change.after - change.before)
    noted = list_noted(rule, change.at - size, change.at + size + 1)
    planned = plan.iterate(change.at - size - 1)
    near = takewhile(lambda time: time.at <= change.at + size, islice(planned, MAX_SEARCHED))
    by_nominal = {time.nominal: time for time in near}
    times = [time for time in (_describe_time(each, by_nominal.get(each.at), zone) for each in noted) if time]
    return ClockChange(at, local, words, times[:MAX_SHOWN], max(0, len(times) - MAX_SHOWN))


def _describe_time(found: Occurrence, planned: PlannedTime | None, zone: str) -> ChangedTime | None:
    """None for a time before the start or after the end of the schedule."""
    note = describe_note(found)
    if not found.runs:
        label = to_datetime(found.labels[0])
        text = f"{label:%a} {label.day} {label:%b %Y} " + label.strftime("%H:%M:%S").removesuffix(":00")
        return ChangedTime(None, label.strftime("%Y-%m-%d %H:%M:%S"), text, note, runs=False)
    if planned is None:
        return None
    if not planned.runs:
        note += f"; does not run: {planned.closed}"
    at = to_datetime(found.at)
    return ChangedTime(at, format_local(found.at, zone), format_zoned(at, zone), note, planned.runs)


def describe_change(zone: str, change: Transition) -> str:
    info = load_zone(zone).info
    before, after = (to_datetime(instant).astimezone(info) for instant in (change.at - 1, change.at))
    end = to_datetime(change.at + change.before)  # the local time that the clock would show
    way = "forward" if change.after > change.before else "back"
    day = f"{end:%a} {end.day} {end:%b %Y}"
    first, last = f"{end:%H:%M} {before:%Z}", f"{after:%H:%M} {after:%Z}"
    if end.date() != after.date():
        last = f"{after:%H:%M} {after:%Z} on {after:%a} {after.day} {after:%b}"
    return f"{day}: the clock goes {way} from {first} to {last}."
