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
from cronium_admin.jobs.models import Job
from cronium_admin.schedules.calendars.choice import lock_chosen_calendar
from cronium_admin.schedules.decisions import list_waiting
from cronium_admin.schedules.firing import AlreadyDecided, Tick, read_tick, settle_due
from cronium_admin.schedules.models import Occurrence, Schedule, State
from cronium_admin.schedules.rules import build_plan, set_next, to_datetime, to_instant
from cronium_admin.schedules.validation import FIELDS, RULE_FIELDS, apply_changes

MAX_PER_JOB = 100
_MAX_COUNTED = 1_000_000


def list_schedules(user: User) -> QuerySet[Schedule]:
    return Schedule.objects.visible_to(user).select_related("job", "owner", "updated_by", "calendar")


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
        data = lock_chosen_calendar(data)
        Job.objects.select_for_update(of=("self",)).filter(pk=job.pk).first()
        if job.schedules.count() >= MAX_PER_JOB:
            raise ApiError(409, "too_many", f"The job {job.slug} has {MAX_PER_JOB} schedules, which is the most.")
        schedule = Schedule(project_id=job.project_id, job=job, owner=by, updated_by=by, created_at=database_now())
        apply_changes(schedule, data)
        schedule.cursor_at = schedule.planned_after = schedule.created_at
        _save_new(schedule)
        try:
            set_next(schedule, build_plan(schedule))
        except RuleError as error:  # H depends on the id
            raise ValidationError({"rule": [str(error)]}) from None
        schedule.save(update_fields=["next_at", "due_at", "computed_for"])
    return schedule


def edit_schedule(schedule: Schedule, data: Mapping[str, Any], by: User, version: int | None = None) -> Schedule:
    """Writes `data` over the stored row. Another rule or time zone begins now: nothing of the past runs."""
    with transaction.atomic():
        data = lock_chosen_calendar(data)
        stored = _lock_schedule(schedule)
        check_version(stored, version)
        before = {name: getattr(stored, name) for name in FIELDS}
        tick = read_tick()
        now = tick.now
        waiting = settle_before_change(stored, tick) if stored.enabled else []
        apply_changes(stored, data, before)
        changes = {name: getattr(stored, name) for name in FIELDS if getattr(stored, name) != before[name]}
        if "acts_as" in changes or (data.get("take_over") and stored.owner_id != by.pk):
            changes["owner"] = stored.owner = by
        if not changes:
            return stored
        if changes.keys() & {*RULE_FIELDS, "enabled"}:
            change = "changed" if stored.enabled else "disabled"
            record_waiting(stored, waiting, f"It waited to start when the schedule was {change}")
            changes |= _restart(stored, before, now)
        changes["problem"] = _find_refusal(stored)
        _write(stored, changes, by)
    return stored


def settle_before_change(stored: Schedule, tick: Tick) -> list[int]:
    """Decides the times that are due, by the rule as it was; returns those that passed and are not due yet.

    A stored rule that this version refuses has none.
    """
    try:
        settle_due(stored, tick)
        return list_waiting(stored, build_plan(stored), tick.now)
    except RuleError:
        return []
    except AlreadyDecided:
        text = "A time of this schedule was handled at this moment. Nothing was saved. Save again."
        raise ApiError(409, "changed_meanwhile", text) from None


def _find_refusal(stored: Schedule) -> str:
    """The problem of an enabled schedule whose rule this version refuses."""
    try:
        build_plan(stored)
    except RuleError as error:
        return str(error)[:500] if stored.enabled else ""
    return ""


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
    stored.planned_after = stored.cursor_at
    try:
        set_next(stored, build_plan(stored))
    except RuleError:  # it is being disabled: otherwise the rule was checked before
        stored.next_at = stored.due_at = None
    names = ("cursor_at", "planned_after", "next_at", "due_at", "computed_for")
    return changes | {name: getattr(stored, name) for name in names}


def record_waiting(stored: Schedule, waiting: list[int], reason: str) -> None:
    """A row for each time that waited for its jitter or an open day, and does not run because of a change."""
    for nominal in waiting:
        if stored.occurrences.filter(nominal_at=to_datetime(nominal)).exclude(state=State.GAP).exists():
            continue
        Occurrence.objects.create(
            schedule=stored,
            nominal_at=to_datetime(nominal),
            last_nominal_at=to_datetime(nominal),
            rule_number=stored.rule_number,
            state=State.MISSED if stored.enabled else State.DISABLED,
            reason=reason,
        )


def _record_disabled(stored: Schedule, before: Mapping[str, Any], now: int) -> None:
    """One row for the times that passed while the schedule was disabled."""
    disabled = Schedule(pk=stored.pk, cursor_at=stored.cursor_at, **{name: before[name] for name in RULE_FIELDS})
    first = last = count = 0
    for nominal in build_plan(disabled).iterate_nominal(to_instant(stored.cursor_at)):
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
