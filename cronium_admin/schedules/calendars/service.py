"""Creates, changes and deletes calendars, for the API and the pages."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet

from cron_rules.calendar_rules import WEEKDAYS
from cron_rules.errors import RuleError
from cronium_admin.accounts.models import User
from cronium_admin.accounts.retired_versions import first_version, retire_version
from cronium_admin.core.edit_versions import check_deletion, check_version, write_edit
from cronium_admin.core.errors import ApiError
from cronium_admin.core.form_errors import translated_errors
from cronium_admin.schedules.calendars.closed_days import build_closed_days
from cronium_admin.schedules.calendars.recompute import settle_schedules, update_schedule_times
from cronium_admin.schedules.models import Calendar, Schedule
from cronium_admin.schedules.validation import strip_lines

KIND = "calendar"
FIELDS = ("name", "weekdays", "dates", "country", "subdivision")
DAY_FIELDS = frozenset(FIELDS) - {"name"}
RESERVED_NAMES = frozenset({"new", "preview"})  # URLs of pages
MAX_CALENDARS = 200
_NAMED_SCHEDULES = 5


def list_calendars() -> QuerySet[Calendar, Any]:
    return Calendar.objects.order_by("name")


def list_calendars_with_use() -> QuerySet[Calendar, Any]:
    return Calendar.objects.annotate(schedule_count=Count("schedules")).select_related("updated_by").order_by("name")


def find_calendar(name: str) -> Calendar:
    found = None if "\0" in name else Calendar.objects.select_related("updated_by").filter(name=name).first()
    if found is None:
        raise ApiError(404, "not_found", f"There is no calendar {name[:40]!r}.")
    return found


def list_schedules_of(calendar: Calendar, user: User) -> QuerySet[Schedule]:
    """Those that the user sees."""
    return Schedule.objects.visible_to(user).filter(calendar=calendar).select_related("job").order_by("name", "pk")


def count_schedules(calendar: Calendar) -> int:
    """Of all projects."""
    return calendar.schedules.count()


def add_calendar(data: Mapping[str, Any], by: User) -> Calendar:
    """Raises ValidationError by field, and ApiError 409 if the name is taken."""
    calendar = Calendar(updated_by=by)
    apply_fields(calendar, data)
    if Calendar.objects.count() >= MAX_CALENDARS:
        raise ApiError(409, "too_many", f"There are {MAX_CALENDARS} calendars, which is the most. Delete one first.")
    calendar.version = first_version(KIND, calendar.name)
    with _refuse_taken_name(calendar):
        calendar.save(force_insert=True)
    return calendar


def save_calendar(calendar: Calendar, data: Mapping[str, Any], by: User, version: int | None = None) -> Calendar:
    """Writes `data` over the stored calendar. Other closed days count from now: nothing of the past runs.

    Raises the errors of `add_calendar`, and EditConflict.
    """
    with transaction.atomic():
        stored = _lock_calendar(calendar)
        check_version(stored, version)
        before = copy.copy(stored)
        apply_fields(stored, data)
        changes = {name: getattr(stored, name) for name in FIELDS if getattr(stored, name) != getattr(before, name)}
        if not changes:
            return stored
        settled, tick = settle_schedules(before) if DAY_FIELDS & changes.keys() else ([], None)
        if "name" in changes:
            retire_version(KIND, before.name, stored.version)
            changes["version"] = first_version(KIND, stored.name)
        with _refuse_taken_name(stored):
            write_edit(stored, changes, by)
        if tick is not None:
            for each in settled:
                update_schedule_times(each, stored, tick)
    return stored


def delete_calendar(calendar: Calendar, by: User, version: int | None = None) -> None:
    """Raises ApiError 409 if a schedule uses it."""
    with transaction.atomic():
        stored = _lock_calendar(calendar)
        check_deletion(stored, version)
        if count := count_schedules(stored):
            raise _make_in_use_error(stored, count, by)
        retire_version(KIND, stored.name, stored.version)
        stored.delete()


def _lock_calendar(calendar: Calendar) -> Calendar:
    rows = Calendar.objects.select_related("updated_by").select_for_update(of=("self",), no_key=True)
    stored = rows.filter(pk=calendar.pk).first()
    if stored is None:
        raise ApiError(404, "not_found", f"The calendar {calendar.name} was deleted in the meantime.")
    return stored


def _make_in_use_error(calendar: Calendar, count: int, by: User) -> ApiError:
    seen = list(list_schedules_of(calendar, by)[:_NAMED_SCHEDULES])
    names = [f"{schedule.name} of {schedule.job.slug}" for schedule in seen]
    rest = count - len(seen)
    if rest:
        names.append(f"{rest} {'more' if seen else 'that you do not see'}")
    text = f"The calendar {calendar.name} is used by the schedules {', '.join(names)}."
    return ApiError(409, "calendar_in_use", f"{text} Remove it from them first.")


def apply_fields(calendar: Calendar, data: Mapping[str, Any]) -> None:
    """Sets and validates the fields. Raises ValidationError by field."""
    for name in FIELDS:
        if name in data:
            setattr(calendar, name, _normalize(name, data[name]))
    if data.get("country") == "" and "subdivision" not in data:
        calendar.subdivision = ""
    if calendar.name in RESERVED_NAMES:
        raise ValidationError({"name": [f"The name {calendar.name!r} is reserved. Choose another."]})
    problems: dict[str, list[str]] = {}
    try:
        build_closed_days(calendar)
    except RuleError as error:
        problems[error.field] = [str(error)]
    try:
        with translated_errors():
            calendar.full_clean(exclude=["updated_by", *problems], validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        problems |= {name: list(texts) for name, texts in error.message_dict.items()}
    if problems:
        raise ValidationError(problems)


def _normalize(name: str, value: Any) -> str:
    if name == "weekdays":
        return _join_weekdays(value)
    if name == "dates":
        return strip_lines(value.splitlines() if isinstance(value, str) else value)
    text = str(value or "").strip()
    return text.upper() if name == "country" else text


def _join_weekdays(names: Iterable[str]) -> str:
    given = {name.strip().lower() for name in names}
    known = [name for name in WEEKDAYS if name in given]
    return ",".join(known + sorted(given.difference(known)))


@contextmanager
def _refuse_taken_name(calendar: Calendar) -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        taken = f"There is a calendar {calendar.name!r} already. Choose another name."
        raise ApiError(409, "name_taken", taken, {"name": [taken]}) from None
