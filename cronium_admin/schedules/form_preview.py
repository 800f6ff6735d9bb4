"""What the rule in a form means: words, warnings, the next times, and what saving it changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cron_rules.errors import RuleError
from cron_rules.plan import Plan, list_plan_warnings
from cron_rules.rules import StartRule
from cron_rules.zones import DAY, TZDATA_VERSION
from cronium_admin.core.database.clock import database_now
from cronium_admin.schedules.clock_changes import ClockChange, list_clock_changes
from cronium_admin.schedules.models import Kind, Schedule
from cronium_admin.schedules.preview import PreviewTime, preview_plan
from cronium_admin.schedules.rules import (
    PLAN_FIELDS,
    RuleFields,
    build_fields_plan,
    build_plan,
    describe_rule,
    list_rule_warnings,
    to_instant,
)
from cronium_admin.schedules.schemas import describe_stored
from cronium_admin.schedules.validation import RULE_FIELDS, name_rule_field
from cronium_admin.schedules.year import Year, build_year, list_days

SHOWN = 10


@dataclass(frozen=True)
class Effect:
    """A row of "What saving changes"."""

    label: str
    before: str | datetime | None
    after: str | datetime | None


@dataclass(frozen=True)
class RulePreview:
    """`problems`: texts by field of the schedule, of a rule that can't be evaluated."""

    zone: str = "UTC"
    words: str = ""
    warnings: list[str] = field(default_factory=list)
    times: list[PreviewTime] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    year: Year | None = None
    changes: list[ClockChange] = field(default_factory=list)
    tzdata: str = TZDATA_VERSION
    is_at_start: bool = False


def build_values_plan(values: Mapping[str, Any], own: int | None) -> Plan:
    """The plan of a form's values. `own`: the id of the stored schedule. Raises RuleError."""
    fields = RuleFields(**{name: values[name] for name in PLAN_FIELDS if name in values}, seed=str(own or ""))
    if fields.anchor is None and fields.kind in {Kind.INTERVAL, Kind.CALENDAR}:
        fields = replace(fields, anchor=database_now().replace(microsecond=0))
    return _build_form_plan(fields, values)


def preview_form(values: Mapping[str, Any], stored: Schedule | None, *, enabled: bool) -> RulePreview:
    """`values` are the fields of a schedule that decide its times; `stored` is the schedule that would be changed."""
    now = database_now().replace(microsecond=0)
    fields = RuleFields(
        **{name: values[name] for name in PLAN_FIELDS if name in values}, seed=str(stored.pk if stored else "")
    )
    if fields.anchor is None and fields.kind in {Kind.INTERVAL, Kind.CALENDAR}:
        fields = replace(fields, anchor=now)
    try:
        plan = _build_form_plan(fields, values)
        words = describe_rule(fields)
        warnings = list_rule_warnings(fields) + list_plan_warnings(plan, to_instant(now))
        times = preview_plan(plan, fields.timezone, to_instant(now), SHOWN)
        effects = _list_effects(stored, values, fields, words, times, now, enabled) if stored else []
    except RuleError as error:
        return RulePreview(zone=fields.timezone, problems={name_rule_field(error.field): str(error)})
    is_at_start = isinstance(plan.rule, StartRule)
    year = None if is_at_start else build_year(plan, fields.timezone, to_instant(now))
    changes = list_clock_changes(plan, fields.timezone, to_instant(now))
    return RulePreview(
        fields.timezone, words, warnings, times, effects, year=year, changes=changes, is_at_start=is_at_start
    )


def _build_form_plan(fields: RuleFields, values: Mapping[str, Any]) -> Plan:
    starts, ends = values.get("starts_at"), values.get("ends_at")
    after = None if starts is None else to_instant(starts) - 1
    return build_fields_plan(fields, after, None if ends is None else to_instant(ends))


def list_next_times(schedule: Schedule, count: int) -> list[PreviewTime]:
    """The next times of a stored schedule; none if it is disabled, or this version refuses its rule."""
    if not schedule.enabled:
        return []
    after = max(database_now(), schedule.cursor_at)
    try:
        return preview_plan(build_plan(schedule), schedule.timezone, to_instant(after), count)
    except RuleError:
        return []


def build_schedule_year(schedule: Schedule) -> Year | None:
    """None as in `list_next_times`."""
    if not schedule.enabled or schedule.is_at_start:
        return None
    after = max(database_now(), schedule.cursor_at)
    try:
        return build_year(build_plan(schedule), schedule.timezone, to_instant(after))
    except RuleError:
        return None


def _list_effects(
    stored: Schedule,
    values: Mapping[str, Any],
    fields: RuleFields,
    words: str,
    times: list[PreviewTime],
    now: datetime,
    enabled: bool,
) -> list[Effect]:
    changed = any(values[name] != getattr(stored, name) for name in _list_used(fields.kind) if name in values)
    if not changed and enabled == stored.enabled:
        return []
    following = next((time.at for time in times if time.runs), None) if enabled else None
    rows = [Effect("Rule", describe_stored(stored), words)] if changed else []
    rows.append(Effect("Next time", stored.next_at if stored.enabled else None, following))
    if changed:
        before = RuleFields.from_schedule(stored)
        rows.append(Effect("Runs in a year", _count_year(before, now), _count_year(fields, now)))
    return rows


def _list_used(kind: str) -> set[str]:
    """The fields that decide the times of a kind; the service clears the others."""
    unused = {
        Kind.CRON: {"every_seconds", "anchor", "at"},
        Kind.INTERVAL: {"rule", "at"},
        Kind.CALENDAR: {"every_seconds", "at"},
        Kind.ONCE: {"rule", "every_seconds", "anchor"},
    }
    return set(RULE_FIELDS) - unused.get(Kind(kind), set())


def _count_year(fields: RuleFields, now: datetime) -> str:
    until = to_instant(now) + 365 * DAY - 1
    try:
        plan = replace(build_fields_plan(fields), until=until)
    except RuleError:
        return "unknown"
    if isinstance(plan.rule, StartRule):
        return "one at each start"
    return f"{sum(day.count for day in list_days(plan, fields.timezone, to_instant(now))):,}"
