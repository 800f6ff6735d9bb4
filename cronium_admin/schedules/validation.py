"""Checks what users set in a schedule."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError

from cron_rules.errors import RuleError
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.form_errors import translated_errors
from cronium_admin.core.line_text import find_line_problem
from cronium_admin.runs.input_check import check_input, complete_input
from cronium_admin.schedules.models import Kind, OnClosed, Schedule
from cronium_admin.schedules.rules import PLAN_FIELDS, RuleFields, build_fields_plan

RULE_FIELDS = (*PLAN_FIELDS, "starts_at", "ends_at", "jitter_seconds")
FIELDS = (
    *RULE_FIELDS,
    *("name", "enabled", "missed", "missed_within_seconds", "missed_max", "overlap", "input", "acts_as"),
)
MAX_MISSED, MAX_JITTER, MAX_WINDOW = 1000, 86_400, 31 * 86_400
_NUMBERS = {
    "missed_max": (1, MAX_MISSED),
    "jitter_seconds": (0, MAX_JITTER),
    "missed_within_seconds": (1, MAX_WINDOW),
}


def apply_changes(schedule: Schedule, data: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
    """Sets and validates the fields; of a stored schedule, those that differ from `before`.

    Raises ValidationError by field.
    """
    for name, value in data.items():
        if name in FIELDS:
            setattr(schedule, name, _strip(name, value))
    _clear_unused(schedule)
    changed = [name for name in FIELDS if before is None or getattr(schedule, name) != before[name]]
    check_choices({name: getattr(schedule, name) for name in changed})
    problems: dict[str, list[str]] = {}
    if text := find_line_problem(schedule.name) or ("" if schedule.name else "Give the schedule a name."):
        problems["name"] = [text]
    for name, (low, high) in _NUMBERS.items():
        value = getattr(schedule, name)
        if value is not None and not low <= value <= high:
            problems[name] = [f"{value} is not in {low} to {high}."]
    if schedule.kind in {Kind.INTERVAL, Kind.CALENDAR} and schedule.anchor is None:
        schedule.anchor = database_now().replace(microsecond=0)
    try:
        with translated_errors():
            unchanged = set(FIELDS).difference(changed)
            schedule.clean_fields(exclude=["job", "owner", "updated_by", "input", "calendar", *problems, *unchanged])
    except ValidationError as error:
        problems |= {name: list(texts) for name, texts in error.message_dict.items()}
    if {*RULE_FIELDS} & {*changed} or (schedule.enabled and "enabled" in changed):
        problems |= _find_rule_problems(schedule, problems)
    if schedule.input is not None and "input" in changed:
        # Choices that come from data are checked at each launch: the data change
        found = check_input(schedule.job, complete_input(schedule.job, schedule.input), None, with_data=False)
        if found:
            problems["input"] = [str(problem) for problem in found]
    if problems:
        raise ValidationError(problems)


def _strip(name: str, value: Any) -> Any:
    if name == "blackouts":
        return strip_lines(value.splitlines() if isinstance(value, str) else value)
    return value.strip() if isinstance(value, str) else value


def strip_lines(lines: Iterable[str]) -> str:
    return "\n".join(line for line in (" ".join(line.split()) for line in lines) if line)


def _clear_unused(schedule: Schedule) -> None:
    """Fields of other kinds are not stored."""
    if schedule.kind not in {Kind.CRON, Kind.CALENDAR}:
        schedule.rule = ""
    if schedule.kind != Kind.INTERVAL:
        schedule.every_seconds = None
    if schedule.kind not in {Kind.INTERVAL, Kind.CALENDAR}:
        schedule.anchor = None
    if schedule.kind != Kind.ONCE:
        schedule.at = None
    if schedule.calendar is None and schedule.on_closed in OnClosed.values:
        schedule.on_closed = OnClosed.SKIP


def _find_rule_problems(schedule: Schedule, known: Mapping[str, Any]) -> dict[str, list[str]]:
    if known.keys() & set(RULE_FIELDS):
        return {}
    starts, ends = schedule.starts_at, schedule.ends_at
    if starts is not None and ends is not None and ends <= starts:
        return {"ends_at": ["The end is not after the start."]}
    fields = RuleFields.from_schedule(schedule)
    try:
        build_fields_plan(fields)
    except RuleError as error:
        return {name_rule_field(error.field): [str(error)]}
    return {}


def check_choices(values: Mapping[str, Any]) -> None:
    """Raises ValidationError by field for a value that is none of a field's choices."""
    problems = {}
    for field in Schedule._meta.get_fields():
        choices = dict(getattr(field, "choices", None) or {})
        if choices and field.name in values and values[field.name] not in choices:
            problems[field.name] = [
                f"{str(values[field.name])[:40]!r} is not allowed. Allowed are {', '.join(choices)}."
            ]
    if problems:
        raise ValidationError(problems)


def name_rule_field(field: str) -> str:
    """The request's field of a RuleError: parts of a cron rule belong to `rule`."""
    return field if field in RULE_FIELDS else "rule"
