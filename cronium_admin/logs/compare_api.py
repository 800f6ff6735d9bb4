"""The API route that compares the logs of two runs."""

from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Schema
from pydantic import Field

from cronium_admin.accounts.api_auth import get_caller
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.logs.api import router
from cronium_admin.logs.comparison import compare_logs
from cronium_admin.logs.search_slots import hold_search_slot
from cronium_admin.runs.lookup import find_compared_runs

__all__ = ["router"]


class ComparedLine(Schema):
    """One line; `skipped` stands for `count` equal lines. `a` and `b` are its numbers in both logs; 0: not in it."""

    kind: Literal["equal", "removed", "added", "skipped"]
    text: str
    a: int
    b: int
    count: int


class LogComparisonOut(Schema):
    """From the log of the older run to that of the newer one."""

    a: UUID
    b: UUID
    equal: bool
    removed: int
    added: int
    parts: list[list[ComparedLine]] = Field(description="One part, or the first and the last lines of long logs.")
    notes: list[str] = Field(description="What was not compared or is not listed.")


@router.get(
    "/runs/{uuid:run_id}/compare/log",
    response={200: LogComparisonOut, (*ANY_ERROR, 429): ErrorBody},
    operation_id="compare_logs",
    summary="Compare the logs of two runs",
)
def compare_run_logs(
    request: HttpRequest,
    run_id: UUID,
    other: Annotated[UUID, Query(alias="with")],
    exact: Annotated[bool, Query(description="Also show lines that differ only in times, ids and measures.")] = False,
) -> LogComparisonOut:
    """Bounded: of long logs only the first and the last lines are compared, and `notes` says so."""
    a, b = find_compared_runs(get_caller(request), run_id, other)
    with hold_search_slot():
        found = compare_logs(a.pk, b.pk, normalizes=not exact)
    parts = [[ComparedLine(**vars(line)) for line in part] for part in found.parts]
    return LogComparisonOut(
        a=a.pk,
        b=b.pk,
        equal=found.is_equal,
        removed=found.removed,
        added=found.added,
        parts=parts,
        notes=found.notes,
    )
