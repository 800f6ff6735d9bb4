"""From a schedule's fields to its rule: for the preview, the form, the list and the firing."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from cron_rules.blackout import parse_windows
from cron_rules.calendar_rules import parse_calendar
from cron_rules.closed_days import ClosedDays
from cron_rules.cron import parse_cron
from cron_rules.errors import RuleError
from cron_rules.plan import Closures, Plan, PlannedTime, check_can_move
from cron_rules.rules import IntervalRule, OnceRule, Rule, StartRule
from cron_rules.warnings import list_warnings
from cron_rules.words import describe_calendar, describe_cron, describe_interval
from cron_rules.zones import TZDATA_VERSION, Zone, load_zone
from cronium_admin.schedules.calendars.closed_days import build_closed_days
from cronium_admin.schedules.calendars.national_holidays import find_version
from cronium_admin.schedules.models import Calendar, DayMatch, DstGap, DstRepeat, Kind, OnClosed, Schedule
from cronium_admin.schedules.starts import list_starts

# The fields of a schedule that decide its times, without its start and its end.
PLAN_FIELDS = (
    *("kind", "rule", "every_seconds", "anchor", "at", "timezone", "dst_gap", "dst_repeat", "day_match"),
    *("blackouts", "calendar", "on_closed"),
)
_HASHED = re.compile(r"(?<![A-Za-z])H(?![A-Za-z])", re.IGNORECASE)
MIN_INTERVAL, MAX_INTERVAL = 1, 366 * 86_400 * 10


@dataclass(frozen=True)
class RuleFields:
    """What decides the times. `seed` identifies the schedule, for H in a cron rule. `blackouts` has a window a line.

    `starts`: the starts of the installation, for @reboot.
    """

    kind: str = Kind.CRON
    rule: str = ""
    every_seconds: int | None = None
    anchor: datetime | None = None
    at: datetime | None = None
    timezone: str = "UTC"
    dst_gap: str = DstGap.RUN_AFTER
    dst_repeat: str = DstRepeat.FIRST
    day_match: str = DayMatch.ANY
    blackouts: str = ""
    calendar: Calendar | None = None
    on_closed: str = OnClosed.SKIP
    seed: str = ""
    starts: tuple[int, ...] = ()

    @classmethod
    def from_schedule(cls, schedule: Schedule) -> "RuleFields":
        return cls(**{name: getattr(schedule, name) for name in PLAN_FIELDS}, seed=str(schedule.pk or ""))


def build_rule(fields: RuleFields, load: Callable[[str], Zone] = load_zone) -> Rule:
    """Raises RuleError, whose field is one of the schedule's fields or a part of the cron rule."""
    zone = load(fields.timezone)
    runs_after_gap = fields.dst_gap == DstGap.RUN_AFTER
    runs_in_both_passes = fields.dst_repeat == DstRepeat.BOTH
    if fields.kind == Kind.CRON:
        rule = parse_cron(
            fields.rule,
            zone,
            seed=fields.seed,
            day_match="all" if fields.day_match == DayMatch.ALL else "any",
            runs_after_gap=runs_after_gap,
            runs_in_both_passes=runs_in_both_passes,
        )
        return StartRule(fields.starts) if isinstance(rule, StartRule) else rule
    if fields.kind == Kind.INTERVAL:
        return _build_interval(fields)
    if fields.kind == Kind.CALENDAR:
        anchor = fields.anchor or datetime.now(UTC)
        local = datetime.fromtimestamp(to_instant(anchor), zone.info).date()
        return parse_calendar(
            fields.rule, local, zone, runs_after_gap=runs_after_gap, runs_in_both_passes=runs_in_both_passes
        )
    if fields.at is None:
        raise RuleError("at", "Give the time at which it runs.")
    return OnceRule(to_instant(fields.at))


def _build_interval(fields: RuleFields) -> IntervalRule:
    every = fields.every_seconds
    if every is None or not MIN_INTERVAL <= every <= MAX_INTERVAL:
        given = "" if every is None else f" {every} is not."
        raise RuleError("every_seconds", f"Give the seconds between two runs, {MIN_INTERVAL} to {MAX_INTERVAL}.{given}")
    if fields.anchor is None:
        raise RuleError("anchor", "Give the time from which the interval is counted.")
    return IntervalRule(every, to_instant(fields.anchor))


def build_closures(fields: RuleFields, load: Callable[[str], Zone] = load_zone) -> Closures | None:
    """Raises RuleError."""
    if not fields.blackouts and fields.calendar is None:
        return None
    zone = load(fields.timezone)
    days = None if fields.calendar is None else _build_days(fields.calendar)
    moves = days is not None and fields.on_closed == OnClosed.NEXT_WORKING_DAY
    return Closures(zone, parse_windows(fields.blackouts.splitlines(), zone), days, moves)


def _build_days(calendar: Calendar) -> ClosedDays:
    try:
        return build_closed_days(calendar)
    except RuleError as error:
        raise RuleError("calendar", f"The calendar {calendar.name} can't be used. {error}") from None


def build_fields_plan(
    fields: RuleFields,
    after: int | None = None,
    until: int | None = None,
    load: Callable[[str], Zone] = load_zone,
) -> Plan:
    """Raises RuleError."""
    plan = Plan(build_rule(fields, load), build_closures(fields, load), after, until)
    if plan.closures is not None and plan.closures.moves:
        check_can_move(plan.rule)
    return plan


def build_plan(schedule: Schedule, load: Callable[[str], Zone] = load_zone) -> Plan:
    """Raises RuleError."""
    bounds = [to_instant(schedule.planned_after)] if schedule.planned_after else []
    if schedule.starts_at is not None:
        bounds.append(to_instant(schedule.starts_at) - 1)
    until = None if schedule.ends_at is None else to_instant(schedule.ends_at)
    fields = RuleFields.from_schedule(schedule)
    if schedule.is_at_start:
        fields = replace(fields, starts=tuple(map(to_instant, list_starts(schedule.cursor_at))))
    return build_fields_plan(fields, max(bounds, default=None), until, load)


def describe_rule(fields: RuleFields) -> str:
    """Sentences. Raises RuleError."""
    closures = build_closures(fields)
    words = _describe_times(fields)
    if fields.calendar is not None:
        words += _describe_calendar(fields.calendar.name, fields.on_closed)
    if closures is not None and closures.windows:
        words += f" Not in the blackout {', '.join(window.name for window in closures.windows)}."
    return words


def _describe_calendar(name: str, on_closed: str) -> str:
    if on_closed == OnClosed.NEXT_WORKING_DAY:
        return f" A time on a closed day of the calendar {name} runs on the next open day."
    return f" Not on closed days of the calendar {name}."


def _describe_times(fields: RuleFields) -> str:
    build_rule(fields)
    if fields.kind == Kind.CRON:
        return describe_cron(fields.rule, fields.timezone, fields.seed, fields.day_match)
    if fields.kind == Kind.CALENDAR:
        return describe_calendar(fields.rule, fields.timezone)
    if fields.kind == Kind.INTERVAL:
        return describe_interval(fields.every_seconds or 1, to_instant(fields.anchor or datetime.now(UTC)))
    return f"Once, at {format_local(to_instant(fields.at or datetime.now(UTC)), fields.timezone)} ({fields.timezone})."


def list_rule_warnings(fields: RuleFields) -> list[str]:
    if fields.kind != Kind.CRON:
        return []
    found = list_warnings(fields.rule, fields.seed, fields.day_match)
    if not fields.seed and _HASHED.search(fields.rule):
        found.append("H follows from the schedule's id: these times are an example. Saving the schedule fixes them.")
    return found


def to_instant(at: datetime) -> int:
    return int(at.timestamp())


def to_datetime(instant: int) -> datetime:
    return datetime.fromtimestamp(instant, UTC)


def format_local(instant: int, zone: str) -> str:
    return datetime.fromtimestamp(instant, load_zone(zone).info).strftime("%Y-%m-%d %H:%M:%S")


def make_cache_key(schedule: Schedule) -> str:
    """What the cached next time was computed for: with a country's holidays, also the version of their package."""
    with_holidays = schedule.calendar is not None and schedule.calendar.country
    return f"{schedule.rule_number}:{make_holidays_key() if with_holidays else ''}{TZDATA_VERSION}"


def make_holidays_key() -> str:
    return f"h{find_version()[:12] or '-'}:"


def compute_jitter(schedule: Schedule, nominal: int, distance: int | None) -> int:
    """Seconds; the same for the same schedule and time, and less than the distance to the next time."""
    bound = schedule.jitter_seconds
    if distance is not None:
        bound = min(bound, distance - 1)
    if bound <= 0:
        return 0
    digest = hashlib.sha256(f"{schedule.pk}:{nominal}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (bound + 1)


def compute_due(schedule: Schedule, time: PlannedTime, following: PlannedTime | None) -> int:
    """When the time is handled: with its jitter, if it runs. `following` is the next time of the plan."""
    if not schedule.jitter_seconds or not time.runs:
        return time.at
    return time.at + compute_jitter(schedule, time.nominal, following.at - time.at if following else None)


def set_next(schedule: Schedule, plan: Plan) -> None:
    """Computes the cached times of the schedule from its cursor. Saves nothing."""
    cursor = to_instant(schedule.cursor_at)
    first, second = [*islice(plan.iterate(cursor), 2), None, None][:2]
    following = first if first is None or first.runs else plan.find_next_run(first.at)
    schedule.next_at = None if following is None else to_datetime(following.at)
    schedule.due_at = None if first is None else to_datetime(compute_due(schedule, first, second))
    schedule.computed_for = make_cache_key(schedule)
