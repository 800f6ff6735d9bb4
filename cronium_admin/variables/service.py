"""Variables: JSON values that outlive a run, of one job or of all jobs. Reads are never cached.

A change locks its row (on SQLite, every transaction takes the write lock at its start), so that concurrent
increments are all counted.
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

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, User
from cronium_admin.accounts.permissions import Permission, ProjectId
from cronium_admin.accounts.projects import check_can, choose_project_id, choose_row
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.edit_versions import format_utc
from cronium_admin.core.errors import ApiError
from cronium_admin.core.paging import filter_after
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.validation import validate_json
from cronium_admin.runs.models import Run
from cronium_admin.variables.models import Change, Kind, Variable

MAX_VALUE_BYTES = 256 * 1024
MAX_PER_SCOPE = 1000
MAX_HISTORY = 100  # changes stored per variable
MAX_HISTORY_TEXT = 2000  # characters of a value stored in its history
SHARED = "shared"
MAX_BITS = 4096  # of an integer after an increment: larger numbers lose precision in most JSON readers
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


@dataclass(frozen=True)
class VariableRef:
    """A reference to a variable of `job` or, if `job` is None, of all jobs of the project `shared_in`."""

    job: Job | None
    name: str
    shared_in: ProjectId = DEFAULT_PROJECT_ID

    @property
    def project_id(self) -> ProjectId:
        return self.job.project_id if self.job else self.shared_in

    @property
    def condition(self) -> Q:
        if self.job:
            return Q(name=self.name, job=self.job)
        return Q(name=self.name, job__isnull=True, project=self.shared_in)

    @property
    def key(self) -> str:
        return self.name if self.job else f"{SHARED}/{self.name}"


Author = Run | User  # of a change: a run's script or a user


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in (".", ".."):
        text = f"{name[:40]!r} is not a valid name of a variable: use up to 128 letters, digits, '.', '_' and '-'."
        raise ApiError(422, "bad_key", text, {"name": [text]})


def resolve_key(run: Run, key: str) -> VariableRef:
    """Parses a key of a script: NAME is a variable of its job, shared/NAME one of all jobs of its project.

    Raises ApiError.
    """
    scope, slash, name = key.rpartition("/")
    check_name(name if scope in ("", SHARED) and bool(slash) == bool(scope) else key)
    if scope == SHARED:
        return VariableRef(None, name, run.project_id)
    if run.job is None:
        raise ApiError(
            409,
            "job_deleted",
            f"This run's job was deleted, so only shared variables such as {SHARED}/{name} are available.",
        )
    return VariableRef(run.job, name)


# The displayed columns. Joins to the whole job, or to the run with its script and output, would read megabytes.
_SHOWN_COLUMNS = (
    *("project", "name", "text", "version", "changed_at", "changed_by", "changed_run"),
    *("job__slug", "job__name"),
)


def _read_values(variables: QuerySet[Variable]) -> QuerySet[Variable]:
    return variables.select_related("job").only(*_SHOWN_COLUMNS).filter(text__isnull=False)


def resolve_scope(user: User, scope: str, name: str, permission: Permission = Permission.VIEW) -> VariableRef:
    """Parses a scope: a job's slug, or shared.

    Raises ApiError 422 for an invalid name, 404 for a job that `user` does not see, 403 without `permission` on it.
    """
    check_name(name)
    if scope == SHARED:
        return VariableRef(None, name, _find_shared_project(user, name, permission))
    try:
        job = find_job(user, scope, permission, only=("pk", "name"))
    except ApiError as error:
        if error.status != 404:
            raise
        message = f"There is no job {scope[:40]!r}. Use a job's slug, or shared."
        raise ApiError(404, "not_found", message) from None
    return VariableRef(job, name)


def _find_shared_project(user: User, name: str, permission: Permission) -> ProjectId:
    # The default project if the user sees it; else the project that has the shared variable, or would get it
    if user.has_permission_in(DEFAULT_PROJECT_ID, permission):
        return DEFAULT_PROJECT_ID
    stored = Variable.objects.visible_to(user).filter(job__isnull=True, name=name).only("pk", "project")
    variable = choose_row(stored.order_by("pk"), f"a shared variable {name}")
    if variable is not None:
        check_can(user, permission, variable)
        return variable.project_id
    if permission is Permission.VIEW:
        raise ApiError(404, "not_found", f"There is no variable {name} in {SHARED}.")
    return choose_project_id(user, permission)


def find_variable(place: VariableRef) -> Variable | None:
    return _read_values(Variable.objects.filter(place.condition)).first()


def search_variables(user: User, search: str = "", scope: str = "") -> QuerySet[Variable]:
    # The user's visible variables with a value, by name, case-insensitive. `search` is a part of the name, `scope` a
    # job's slug or "shared".
    rows = _read_values(Variable.objects.visible_to(user))
    if search:
        rows = rows.filter(name__icontains=search)
    if scope == SHARED:
        rows = rows.filter(job__isnull=True)
    elif scope:
        rows = rows.filter(job__slug=scope)
    return rows.annotate(lower_name=Lower("name")).order_by("lower_name", "id")


def filter_after_name(rows: QuerySet[Variable], name: str | int, key: str | int) -> QuerySet[Variable]:
    return rows.filter(filter_after("lower_name", str(name).lower(), key))


def list_changes(place: VariableRef, before: int = 0, size: int = MAX_HISTORY) -> list[Change]:
    shared = {"variable__job__isnull": True, "variable__project": place.shared_in}
    owner = {"variable__job": place.job} if place.job else shared
    rows = Change.objects.filter(variable__name=place.name, **owner).order_by("-version")
    return list((rows.filter(version__lt=before) if before else rows)[:size])


def encode_value(value: Any) -> str:
    """The JSON text to store. Raises ApiError 413 if it is too large, 422 if it can't be stored."""
    try:
        return str(validate_json(value, "The value", MAX_VALUE_BYTES))
    except ValidationError as error:
        status, code = (413, "too_large") if error.code == "too_large" else (422, "invalid")
        raise ApiError(status, code, error.messages[0], {"value": list(error.messages)}) from None


def set_variable(place: VariableRef, value: Any, author: Author, version: int | None = None) -> Variable:
    """With `version`, only if that is still the variable's version (0: only if it has no value)."""
    return _change_variable(place, author, Kind.SET, lambda _: encode_value(value), version)


def increment_variable(place: VariableRef, amount: Any, author: Author) -> Any:
    """Adds `amount` atomically and returns the new number; a variable without a value counts as 0."""
    if not _is_number(amount):
        raise ApiError(422, "not_a_number", f"The amount to add must be a number, not {json.dumps(amount)[:80]}.")
    return _change_variable(place, author, Kind.INCREMENT, lambda text: _add_amount(place, text, amount)).value


def delete_variable(place: VariableRef, author: Author, version: int | None = None) -> bool:
    """Removes the value; the history is kept. Returns False if there was no value."""
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
            409,
            "not_a_number",
            f"The variable {place.key} is {kind}, so it can't be incremented. Set it to a number first.",
        )
    try:
        after = before + amount
        if isinstance(after, int) and after.bit_length() > MAX_BITS:
            raise OverflowError
        return json.dumps(after, allow_nan=False)
    except (OverflowError, ValueError):
        raise ApiError(409, "too_large", f"The variable {place.key} would exceed the largest number allowed.") from None


def _change_variable(
    place: VariableRef, author: Author, kind: Kind, to_text: Any, expected: int | None = None
) -> Variable:
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
        row.changed_at, row.changed_by = database_now(), _describe_author(author)
        row.changed_run = author if isinstance(author, Run) else None
        row.save()
        _record_change(row, kind, author)
    return row


def _describe_author(author: Author) -> str:
    return f"{author.job_slug} #{author.number}" if isinstance(author, Run) else author.get_username()


@contextmanager
def _refuse_deleted_job(place: VariableRef) -> Iterator[None]:
    # Wraps the transaction: its commit fails if the variable's job was deleted
    try:
        yield
    except IntegrityError:
        if place.job is None:
            raise
        raise ApiError(404, "not_found", f"The job {place.job.slug} was deleted in the meantime.") from None


def _make_conflict_error(row: Variable, kind: Kind) -> ApiError:
    if not row.version:
        text = "The variable no longer exists. Your change was not saved. Save it as a new variable, with version 0."
    else:
        did = "deleted it" if row.text is None else f"saved version {row.version}"
        consequence = "Nothing was deleted." if kind is Kind.DELETE else "Your change was not saved."
        text = f"{row.changed_by} {did} at {format_utc(row.changed_at)}. {consequence} Check the value, then try again."
    return ApiError(409, "changed_meanwhile", text, {"version": [text]})


def _create_row(place: VariableRef) -> Variable:
    # A locked row without a value: new, or created concurrently by another process
    scope = Variable.objects.filter(project=place.project_id, job=place.job, text__isnull=False)
    if scope.count() >= MAX_PER_SCOPE:
        where = "This job has" if place.job else "There are"
        raise ApiError(
            409,
            "too_many",
            f"{where} {MAX_PER_SCOPE} {'' if place.job else 'shared '}variables already, the maximum. Delete some.",
        )
    try:
        with transaction.atomic():
            return Variable.objects.create(project_id=place.project_id, job=place.job, name=place.name, version=0)
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
        user=author if isinstance(author, User) else None,
        run=row.changed_run,
    )
    Change.objects.filter(variable=row, version__lte=row.version - MAX_HISTORY).delete()
