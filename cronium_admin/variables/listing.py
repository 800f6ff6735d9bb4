"""Reads variables for the pages. No list loads whole values, which can be large."""

from dataclasses import dataclass

from django.db.models import QuerySet
from django.db.models.functions import Length, Substr

from cronium_admin.accounts.models import User
from cronium_admin.core.errors import ApiError
from cronium_admin.core.paging import Page, make_cursor, parse_cursor
from cronium_admin.jobs.models import Job
from cronium_admin.variables import service
from cronium_admin.variables.models import Change, Variable
from cronium_admin.variables.service import VariableRef

HEAD_LENGTH = 120  # characters of a value shown in a list
_TYPES = {"{": "object", "[": "array", '"': "string", "t": "boolean", "f": "boolean", "n": "null"}


@dataclass(frozen=True)
class VariableRow:
    """A variable in the list; `head` is the beginning of its JSON text."""

    variable: Variable
    scope: str
    type: str
    head: str
    is_cut: bool


@dataclass(frozen=True)
class HistoryStep:
    """A change with the value before it; `before` is None if that is no longer stored."""

    change: Change
    before: str | None
    before_is_cut: bool
    is_first: bool


def detect_type(text: str) -> str:
    return _TYPES.get(text[:1], "number")


def fetch_page(user: User, search: str, scope: str, after: str, size: int) -> Page:
    rows: QuerySet[Variable] = service.search_variables(user, search, scope)
    is_first = True
    if after:
        try:
            rows, is_first = service.filter_after_name(rows, *parse_cursor(after, str, int)), False
        except ApiError:
            is_first = True
    variables = list(
        rows.defer("text").annotate(head=Substr("text", 1, HEAD_LENGTH), length=Length("text"))[: size + 1]
    )
    last = variables[size - 1] if len(variables) > size else None
    return Page(
        [_build_row(row) for row in variables[:size]], make_cursor(last.name, last.pk) if last else "", is_first
    )


def _build_row(row: Variable) -> VariableRow:
    head, length = str(getattr(row, "head", "")), int(getattr(row, "length", 0))
    return VariableRow(row, row.job.slug if row.job else service.SHARED, detect_type(head), head, length > HEAD_LENGTH)


def list_jobs_with_variables(user: User) -> QuerySet[Job]:
    return (
        Job.objects.visible_to(user).only("slug", "name", "order_key").filter(variables__text__isnull=False).distinct()
    )


def fetch_steps(place: VariableRef, before: int, size: int) -> tuple[list[HistoryStep], int]:
    """A page of the history, newest first, and the version before which the next page begins (0: there is none)."""
    changes = service.list_changes(place, before, size + 1)
    steps = []
    for at, change in enumerate(changes[:size]):
        older = changes[at + 1] if at + 1 < len(changes) else None
        steps.append(
            HistoryStep(
                change, older.text if older else None, bool(older and older.is_cut), is_first=change.version == 1
            )
        )
    return steps, steps[-1].change.version if len(changes) > size else 0
