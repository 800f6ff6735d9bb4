"""Variables: JSON values that outlive a run, of one job or shared by all. Reads ask the database, every time.

A change holds its row's lock (on SQLite the write lock, which each transaction takes at its start), so that two
increments are never one.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.edit_versions import format_utc
from cronium_admin.core.errors import ApiError
from cronium_admin.core.paging import filter_after
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.validation import validate_json
from cronium_admin.runs.models import Run
from cronium_admin.variables.models import Change, Kind, Variable

MAX_VALUE_BYTES = 256 * 1024
MAX_PER_SCOPE = 1000
MAX_HISTORY = 100  # changes kept of a variable
MAX_HISTORY_TEXT = 2000  # characters of a value that its history keeps
SHARED = "shared"
MAX_BITS = 4096  # of a whole number that is added to: beyond it no reader gets it right
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


@dataclass(frozen=True)
class VariableRef:
    """Where a variable is: of `job`, or shared by all jobs when that is None."""

    job: Job | None
    name: str

    @property
    def condition(self) -> Q:
        return Q(name=self.name, job=self.job) if self.job else Q(name=self.name, job__isnull=True)

    @property
    def key(self) -> str:
        """As the job's own scripts call it."""
        return self.name if self.job else f"{SHARED}/{self.name}"


@dataclass(frozen=True)
class Author:
    """Who changes a variable: a run's script, or a person."""

    run: Run | None = None
    user: User | None = None

    @property
    def label(self) -> str:
        if self.run:
            return f"{self.run.job_slug} #{self.run.number}"
        return self.user.get_username() if self.user else "Cronium"


def check_name(name: str) -> None:
    """Refused (422) when `name` can't be a variable's."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        text = f"{name[:40]!r} is not a variable's name: letters, digits, '.', '_' and '-', at most 128 of them."
        raise ApiError(422, "bad_key", text, {"name": [text]})


def resolve_key(run: Run, key: str) -> VariableRef:
    """From a key as scripts write it: NAME is the job's own, shared/NAME everybody's. Refused when it is neither."""
    scope, slash, name = key.rpartition("/")
    check_name(name if scope in ("", SHARED) and bool(slash) == bool(scope) else key)
    if scope == SHARED:
        return VariableRef(None, name)
    if run.job is None:
        raise ApiError(
            409, "job_deleted", f"This run's job was deleted, so only variables as {SHARED}/{name} are left."
        )
    return VariableRef(run.job, name)


# What is shown of a variable; a join to the whole job, or to the run with its script and output, would cost megabytes.
_SHOWN_COLUMNS = ("name", "text", "version", "changed_at", "changed_by", "changed_run", "job__slug", "job__name")


def _select_with_values() -> QuerySet[Variable]:
    return Variable.objects.select_related("job").only(*_SHOWN_COLUMNS).filter(text__isnull=False)


def resolve_scope(scope: str, name: str) -> VariableRef:
    """From a scope as people write it: a job's slug, or shared. Refused (422) for a bad name, (404) for no such job."""
    check_name(name)
    if scope == SHARED:
        return VariableRef(None, name)
    job = Job.objects.only("pk", "slug", "name").filter(slug=scope.replace("\0", "")).first()
    if job is None:
        raise ApiError(404, "not_found", f"There is no job {scope[:40]!r}. Give a job's slug, or shared.")
    return VariableRef(job, name)


def find_variable(place: VariableRef) -> Variable | None:
    """The variable, if it has a value now."""
    return _select_with_values().filter(place.condition).first()


def search_variables(search: str = "", scope: str = "") -> QuerySet[Variable]:
    """All that have a value, by name without regard to case.

    `search` is a part of the name, `scope` a job's slug or "shared".
    """
    rows = _select_with_values()
    if search:
        rows = rows.filter(name__icontains=search)
    if scope == SHARED:
        rows = rows.filter(job__isnull=True)
    elif scope:
        rows = rows.filter(job__slug=scope)
    return rows.annotate(lower_name=Lower("name")).order_by("lower_name", "id")


def filter_after_name(rows: QuerySet[Variable], name: str | int, key: str | int) -> QuerySet[Variable]:
    """The rows of `listed` that follow the one of that name and id."""
    return rows.filter(filter_after("lower_name", str(name).lower(), key))


def list_changes(place: VariableRef, before: int = 0, size: int = MAX_HISTORY) -> list[Change]:
    """The last changes (those older than version `before`), newest first; also of a variable that was deleted."""
    owner = {"variable__job": place.job} if place.job else {"variable__job__isnull": True}
    rows = Change.objects.filter(variable__name=place.name, **owner).order_by("-version")
    return list((rows.filter(version__lt=before) if before else rows)[:size])


def encode_value(value: Any) -> str:
    """The value as the text that is kept; Refused when it is too large or can't be kept."""
    try:
        return str(validate_json(value, "The value", MAX_VALUE_BYTES))
    except ValidationError as error:
        status, code = (413, "too_large") if error.code == "too_large" else (422, "invalid")
        raise ApiError(status, code, error.messages[0], {"value": list(error.messages)}) from None


def set_variable(place: VariableRef, value: Any, author: Author, version: int | None = None) -> Variable:
    """Set the value. With `version` only while that is still the variable's (0: only while it has no value)."""
    return _change_variable(place, author, Kind.SET, lambda _: encode_value(value), version)


def increment_variable(place: VariableRef, amount: Any, author: Author) -> Any:
    """Add `amount` in one step and return the new number; a variable without a value counts as 0."""
    if not _is_number(amount):
        raise ApiError(422, "not_a_number", f"The amount to add must be a number, not {json.dumps(amount)[:80]}.")
    return _change_variable(place, author, Kind.INCREMENT, lambda text: _add_amount(place, text, amount)).value


def delete_variable(place: VariableRef, author: Author, version: int | None = None) -> bool:
    """Take the value away; the history stays. False when there was none."""
    try:
        _change_variable(place, author, Kind.DELETE, lambda _: None, version)
    except _VariableMissing:
        return False
    return True


class _VariableMissing(Exception):
    pass


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _add_amount(place: VariableRef, text: str | None, amount: float) -> str:
    before = 0 if text is None else json.loads(text)
    if not _is_number(before):
        kind = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}.get(type(before), "null")
        raise ApiError(
            409, "not_a_number", f"The variable {place.key} is {kind}, so nothing can be added. Set it to a number."
        )
    try:
        after = before + amount
        if isinstance(after, int) and after.bit_length() > MAX_BITS:
            raise OverflowError
        return json.dumps(after, allow_nan=False)
    except (OverflowError, ValueError):
        raise ApiError(409, "too_large", f"The variable {place.key} would become too large a number.") from None


def _change_variable(
    place: VariableRef, author: Author, kind: Kind, to_text: Any, expected: int | None = None
) -> Variable:
    """Lock the row (or make it), change it, and note that in its history."""
    with _refuse_deleted_job(place), transaction.atomic():
        row = Variable.objects.select_for_update().filter(place.condition).first()
        if row is None:
            if kind is Kind.DELETE:
                raise _VariableMissing
            row = _create_row(place)
        if kind is Kind.DELETE and row.text is None:
            raise _VariableMissing
        if expected is not None and expected != (0 if row.text is None else row.version):
            raise _make_conflict_error(row, kind)
        row.text = to_text(row.text)
        row.version += 1
        row.changed_at, row.changed_by, row.changed_run = database_now(), author.label, author.run
        row.save()
        _record_change(row, kind, author)
    return row


@contextmanager
def _refuse_deleted_job(place: VariableRef) -> Iterator[None]:
    """Around the transaction: at its end the database refuses a variable whose job is gone."""
    try:
        yield
    except IntegrityError:
        if place.job is None:
            raise
        raise ApiError(404, "not_found", f"The job {place.job.slug} was deleted in the meantime.") from None


def _make_conflict_error(row: Variable, kind: Kind) -> ApiError:
    if not row.version:
        text = "There is no such variable any more. Your change was not saved. Save it as a new one, with version 0."
    else:
        did = "deleted it" if row.text is None else f"saved version {row.version}"
        kept = "Nothing was deleted." if kind is Kind.DELETE else "Your change was not saved."
        text = f"{row.changed_by} {did} at {format_utc(row.changed_at)}. {kept} Look at it, then decide."
    return ApiError(409, "changed_meanwhile", text, {"version": [text]})


def _create_row(place: VariableRef) -> Variable:
    """A row without a value, locked: ours, or the one that another made in the meantime."""
    if Variable.objects.filter(job=place.job, text__isnull=False).count() >= MAX_PER_SCOPE:
        where = "This job has" if place.job else "There are"
        raise ApiError(
            409, "too_many", f"{where} {MAX_PER_SCOPE} {'' if place.job else 'shared '}variables already. Delete some."
        )
    try:
        with transaction.atomic():
            return Variable.objects.create(job=place.job, name=place.name, version=0)
    except IntegrityError:
        return Variable.objects.select_for_update().get(place.condition)


def _record_change(row: Variable, kind: Kind, author: Author) -> None:
    text = row.text or ""
    Change.objects.create(
        variable=row,
        version=row.version,
        kind=kind,
        text=text[:MAX_HISTORY_TEXT],
        is_cut=len(text) > MAX_HISTORY_TEXT,
        at=row.changed_at,
        by=row.changed_by,
        user=author.user,
        run=author.run,
    )
    Change.objects.filter(variable=row, version__lte=row.version - MAX_HISTORY).delete()
