"""Creates, changes and deletes schedules, for the API and the pages."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cron_rules.errors import RuleError
from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import check_can
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.edit_versions import check_deletion, check_version, write_edit
from cronium_admin.core.errors import ApiError
from cronium_admin.core.form_errors import translated_errors
from cronium_admin.core.line_text import find_line_problem
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.validation import validate_input
from cronium_admin.schedules.firing import AlreadyDecided, Tick, read_tick, settle_due
from cronium_admin.schedules.models import Kind, Occurrence, Schedule, State
from cronium_admin.schedules.rules import (
    RuleFields,
    build_rule,
    iterate_times,
    set_next,
    to_datetime,
    to_instant,
)

RULE_FIELDS = (
    *("kind", "rule", "every_seconds", "anchor", "at", "timezone"),
    *("dst_gap", "dst_repeat", "day_match", "starts_at", "ends_at", "jitter_seconds"),
)
FIELDS = (
    *RULE_FIELDS,
    *("name", "enabled", "missed", "missed_within_seconds", "missed_max", "overlap", "input", "acts_as"),
)
MAX_PER_JOB = 100
MAX_MISSED, MAX_JITTER, MAX_WINDOW = 1000, 86_400, 31 * 86_400
_MAX_COUNTED = 1_000_000
_NUMBERS = {
    "missed_max": (1, MAX_MISSED),
    "jitter_seconds": (0, MAX_JITTER),
    "missed_within_seconds": (1, MAX_WINDOW),
}


def list_schedules(user: User) -> QuerySet[Schedule]:
    return Schedule.objects.visible_to(user).select_related("job", "owner", "updated_by")


def find_schedule(user: User, pk: int, permission: Permission = Permission.VIEW) -> Schedule:
    """Raises ApiError: 404 if the user sees no such schedule, 403 without the permission."""
    schedule = list_schedules(user).filter(pk=pk).first() if pk < 2**63 else None
    if schedule is None:
        raise ApiError(404, "not_found", f"There is no schedule {str(pk)[:40]}.")
    check_can(user, permission, schedule)
    return schedule


def create_schedule(job: Job, data: Mapping[str, Any], by: User) -> Schedule:
    """Stores a schedule, whose first time is after now. Raises ValidationError by field, ApiError."""
    with transaction.atomic():
        Job.objects.select_for_update(of=("self",)).filter(pk=job.pk).first()
        if job.schedules.count() >= MAX_PER_JOB:
            raise ApiError(409, "too_many", f"The job {job.slug} has {MAX_PER_JOB} schedules, which is the most.")
        schedule = Schedule(project_id=job.project_id, job=job, owner=by, updated_by=by, created_at=database_now())
        _apply(schedule, data)
        schedule.cursor_at = schedule.created_at
        _save_new(schedule)
        try:
            set_next(schedule, build_rule(RuleFields.from_schedule(schedule)))
        except RuleError as error:  # H depends on the id
            raise ValidationError({"rule": [str(error)]}) from None
        schedule.save(update_fields=["next_at", "due_at", "computed_for"])
    return schedule


def edit_schedule(schedule: Schedule, data: Mapping[str, Any], by: User, version: int | None = None) -> Schedule:
    """Writes `data` over the stored row. Another rule or time zone begins now: nothing of the past runs."""
    with transaction.atomic():
        stored = _lock_schedule(schedule)
        check_version(stored, version)
        before = {name: getattr(stored, name) for name in FIELDS}
        tick = read_tick()
        now = tick.now
        if stored.enabled:
            _settle(stored, tick)
        _apply(stored, data)
        changes = {name: getattr(stored, name) for name in FIELDS if getattr(stored, name) != before[name]}
        if "acts_as" in changes or (data.get("take_over") and stored.owner_id != by.pk):
            changes["owner"] = stored.owner = by
        if not changes:
            return stored
        if changes.keys() & {*RULE_FIELDS, "enabled"}:
            changes |= _restart(stored, before, now)
        changes["problem"] = ""
        _write(stored, changes, by)
    return stored


def _settle(stored: Schedule, tick: Tick) -> None:
    """Decides the times that are due, by the rule as it was. A stored rule that this version refuses has none."""
    try:
        settle_due(stored, tick)
    except RuleError:
        return
    except AlreadyDecided:
        text = "A time of this schedule was handled at this moment. Nothing was saved. Save again."
        raise ApiError(409, "changed_meanwhile", text) from None


def delete_schedule(schedule: Schedule, version: int | None = None) -> None:
    """Deletes the schedule with its ledger. Its runs stay."""
    with transaction.atomic():
        stored = _lock_schedule(schedule)
        check_deletion(stored, version)
        stored.delete()


def _lock_schedule(schedule: Schedule) -> Schedule:
    rows = Schedule.objects.select_related("job__profile", "owner", "updated_by").select_for_update(of=("self",))
    stored = rows.filter(pk=schedule.pk).first()
    if stored is None:
        raise ApiError(404, "not_found", f"The schedule {schedule.name} was deleted in the meantime.")
    return stored


def _restart(stored: Schedule, before: Mapping[str, Any], now: int) -> dict[str, Any]:
    """The columns of a schedule whose times change, or that is enabled: its next time is after `now`."""
    if not before["enabled"]:
        with suppress(RuleError):
            _record_disabled(stored, before, now)
    changes: dict[str, Any] = {}
    if any(getattr(stored, name) != before[name] for name in RULE_FIELDS):
        stored.rule_number += 1
        changes["rule_number"] = stored.rule_number
    stored.cursor_at = max(stored.cursor_at, to_datetime(now))
    set_next(stored, build_rule(RuleFields.from_schedule(stored)))
    return changes | {name: getattr(stored, name) for name in ("cursor_at", "next_at", "due_at", "computed_for")}


def _record_disabled(stored: Schedule, before: Mapping[str, Any], now: int) -> None:
    """One row for the times that passed while the schedule was disabled."""
    disabled = Schedule(pk=stored.pk, **{name: before[name] for name in RULE_FIELDS})
    rule = build_rule(RuleFields.from_schedule(disabled))
    first = last = count = 0
    for nominal in iterate_times(disabled, rule, to_instant(stored.cursor_at)):
        if nominal > now or count >= _MAX_COUNTED:
            break
        first, last, count = first or nominal, nominal, count + 1
    if count:
        Occurrence.objects.create(
            schedule=stored,
            nominal_at=to_datetime(first),
            last_nominal_at=to_datetime(last),
            rule_number=stored.rule_number,
            state=State.DISABLED,
            reason="The schedule was disabled",
            count=count,
        )


def _apply(schedule: Schedule, data: Mapping[str, Any]) -> None:
    """Sets and validates the fields. Raises ValidationError by field."""
    for name, value in data.items():
        if name in FIELDS:
            setattr(schedule, name, value.strip() if isinstance(value, str) else value)
    check_choices({name: getattr(schedule, name) for name in FIELDS})
    problems: dict[str, list[str]] = {}
    if text := find_line_problem(schedule.name) or ("" if schedule.name else "Give the schedule a name."):
        problems["name"] = [text]
    for name, (low, high) in _NUMBERS.items():
        value = getattr(schedule, name)
        if value is not None and not low <= value <= high:
            problems[name] = [f"{value} is not in {low} to {high}."]
    _clear_unused(schedule)
    if schedule.kind in {Kind.INTERVAL, Kind.CALENDAR} and schedule.anchor is None:
        schedule.anchor = database_now().replace(microsecond=0)
    try:
        with translated_errors():
            schedule.clean_fields(exclude=["job", "owner", "updated_by", "input", *problems])
    except ValidationError as error:
        problems |= {name: list(texts) for name, texts in error.message_dict.items()}
    problems |= _find_rule_problems(schedule, problems)
    if schedule.input is not None:
        try:
            validate_input(schedule.input)
        except ValidationError as error:
            problems["input"] = list(error.messages)
    if problems:
        raise ValidationError(problems)


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


def _find_rule_problems(schedule: Schedule, known: Mapping[str, Any]) -> dict[str, list[str]]:
    if known.keys() & set(RULE_FIELDS):
        return {}
    starts, ends = schedule.starts_at, schedule.ends_at
    if starts is not None and ends is not None and ends <= starts:
        return {"ends_at": ["The end is not after the start."]}
    try:
        build_rule(RuleFields.from_schedule(schedule))
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


def _save_new(schedule: Schedule) -> None:
    try:
        with transaction.atomic():
            schedule.save(force_insert=True)
    except IntegrityError:
        raise _make_taken_error(schedule) from None


def _write(stored: Schedule, changes: Mapping[str, Any], by: User) -> None:
    try:
        with transaction.atomic():
            write_edit(stored, changes, by)
    except IntegrityError:
        raise _make_taken_error(stored) from None


def _make_taken_error(schedule: Schedule) -> ApiError:
    text = f"The job {schedule.job.slug} has a schedule {schedule.name!r} already. Choose another name."
    return ApiError(409, "name_taken", text, {"name": [text]})
