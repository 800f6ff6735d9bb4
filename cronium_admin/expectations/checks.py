"""Creates, changes and deletes checks, for the API and the pages."""

import uuid
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cron_rules.errors import RuleError
from cron_rules.zones import load_zone
from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import check_can, choose_project_id
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.edit_versions import check_deletion, check_version, write_edit
from cronium_admin.core.errors import ApiError
from cronium_admin.core.form_errors import translated_errors
from cronium_admin.core.line_text import find_line_problem
from cronium_admin.expectations.check_models import Check, Rhythm, Status
from cronium_admin.expectations.check_states import find_expected, set_deadline
from cronium_admin.expectations.models import Closing
from cronium_admin.expectations.pings import close_check

FIELDS = ("name", "rhythm", "period_seconds", "rule", "timezone", "grace_seconds", "enabled")
_TIMING = {"rhythm", "period_seconds", "rule", "timezone", "grace_seconds", "enabled"}
MAX_CHECKS = 1000  # of a project
MAX_SECONDS = 366 * 86_400
_NUMBERS = {"period_seconds": (60, MAX_SECONDS), "grace_seconds": (10, MAX_SECONDS)}


def list_checks(user: User) -> QuerySet[Check]:
    return Check.objects.visible_to(user).select_related("updated_by")


def find_check(user: User, pk: int, permission: Permission = Permission.VIEW) -> Check:
    """Raises ApiError: 404 if the user sees no such check, 403 without the permission."""
    check = list_checks(user).filter(pk=pk).first() if pk < 2**63 else None
    if check is None:
        raise ApiError(404, "not_found", f"There is no check {str(pk)[:40]}.")
    check_can(user, permission, check)
    return check


def create_check(data: Mapping[str, Any], by: User) -> Check:
    """Raises ValidationError by field, ApiError."""
    project_id = choose_project_id(by, Permission.EDIT)
    with transaction.atomic():
        if Check.objects.filter(project=project_id).count() >= MAX_CHECKS:
            raise ApiError(409, "too_many", f"The project has {MAX_CHECKS} checks, which is the most.")
        check = Check(project_id=project_id, updated_by=by)
        _apply(check, data)
        try:
            with transaction.atomic():
                check.save(force_insert=True)
        except IntegrityError:
            raise _make_taken_error(check) from None
    return check


def edit_check(check: Check, data: Mapping[str, Any], by: User, version: int | None = None) -> Check:
    """Writes `data` over the stored row. Another rule counts from the last success; a check that was down is new."""
    with transaction.atomic():
        stored = _lock_check(check)
        check_version(stored, version)
        before = {name: getattr(stored, name) for name in FIELDS}
        _apply(stored, data)
        changes = {name: getattr(stored, name) for name in FIELDS if getattr(stored, name) != before[name]}
        if not changes:
            return stored
        if changes.keys() & _TIMING:
            changes |= _restart(stored, was_enabled=bool(before["enabled"]))
        _write(stored, changes, by)
    return stored


def rotate_key(check: Check, by: User, version: int | None = None) -> Check:
    """Gives the check another URL; the one before is not found from now on."""
    with transaction.atomic():
        stored = _lock_check(check)
        check_version(stored, version)
        stored.ping_key = uuid.uuid4()
        _write(stored, {"ping_key": stored.ping_key}, by)
    return stored


def delete_check(check: Check, version: int | None = None) -> None:
    """With its pings and incidents."""
    with transaction.atomic():
        stored = _lock_check(check)
        check_deletion(stored, version)
        stored.delete()


def _lock_check(check: Check) -> Check:
    rows = Check.objects.select_related("updated_by").select_for_update(of=("self",))
    stored = rows.filter(pk=check.pk).first()
    if stored is None:
        raise ApiError(404, "not_found", f"The check {check.name} was deleted in the meantime.")
    return stored


def _restart(stored: Check, *, was_enabled: bool) -> dict[str, Any]:
    """The columns of a check whose times change, or that is paused or resumed. Nothing of the past counts."""
    if not stored.enabled:
        close_check(stored.pk, Closing.DISABLED, "The check was paused.")
    else:
        close_check(stored.pk, Closing.CHANGED, "The check was changed; it waits for its next ping.")
    if stored.status == Status.DOWN or not was_enabled or not stored.enabled:
        stored.status, stored.started_at = Status.NEW, None
    set_deadline(stored)
    if stored.due_at is not None and stored.due_at <= database_now():
        stored.status = Status.NEW
        stored.started_at = None
        set_deadline(stored)
    return {name: getattr(stored, name) for name in ("status", "started_at", "expected_at", "due_at")}


def _apply(check: Check, data: Mapping[str, Any]) -> None:
    """Sets and validates the fields. Raises ValidationError by field."""
    for name, value in data.items():
        if name in FIELDS:
            setattr(check, name, value.strip() if isinstance(value, str) else value)
    problems: dict[str, list[str]] = {}
    if text := find_line_problem(check.name) or ("" if check.name else "Give the check a name."):
        problems["name"] = [text]
    if check.rhythm not in Rhythm.values:
        problems["rhythm"] = [f"{str(check.rhythm)[:40]!r} is not allowed. Allowed are {', '.join(Rhythm.values)}."]
    for name, (low, high) in _NUMBERS.items():
        value = getattr(check, name)
        if value is not None and not low <= value <= high:
            problems[name] = [f"{value} is not in {low} to {high}."]
    if check.rhythm == Rhythm.PERIOD:
        check.rule = ""
        if check.period_seconds is None:
            problems["period_seconds"] = ["Give the seconds from one ping to the next."]
    elif check.rhythm == Rhythm.CRON:
        check.period_seconds = None
    try:
        with translated_errors():
            others = {field.name for field in Check._meta.fields} - set(FIELDS)
            check.clean_fields(exclude=[*others, *problems])
    except ValidationError as error:
        problems |= {name: list(texts) for name, texts in error.message_dict.items()}
    if not problems.keys() & {"rule", "timezone"}:
        problems |= _find_rule_problems(check)
    if problems:
        raise ValidationError(problems)


def _find_rule_problems(check: Check) -> dict[str, list[str]]:
    try:
        load_zone(check.timezone)
        if check.rhythm == Rhythm.CRON:
            find_expected(check, database_now())
    except RuleError as error:
        return {"timezone" if error.field == "timezone" else "rule": [str(error)]}
    return {}


def _write(stored: Check, changes: Mapping[str, Any], by: User) -> None:
    try:
        with transaction.atomic():
            write_edit(stored, changes, by)
    except IntegrityError:
        raise _make_taken_error(stored) from None


def _make_taken_error(check: Check) -> ApiError:
    text = f"There is a check {check.name!r} already. Choose another name."
    return ApiError(409, "name_taken", text, {"name": [text]})
