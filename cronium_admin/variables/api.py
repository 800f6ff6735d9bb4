"""The routes under /variables: `scope` is a job's slug, or `shared` for those of all jobs."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from cronium_admin.accounts.api_auth import caller, needs
from cronium_admin.accounts.permissions import May
from cronium_admin.core.edit_versions import DELETED_VERSION
from cronium_admin.core.errors import ERRORS, ErrorBody, Refused
from cronium_admin.core.paging import cursor, read_cursor
from cronium_admin.variables import service
from cronium_admin.variables.models import Variable
from cronium_admin.variables.schemas import ChangeList, ChangeOut, VariableIn, VariableOut, VariablePage
from cronium_admin.variables.service import Author, place_at

router = Router(tags=["variables"], auth=needs(May.SEE))
PAGE_SIZE, PAGE_BYTES = 100, 1024 * 1024


@router.get("", response={200: VariablePage, ERRORS: ErrorBody}, summary="Variables, by name")
def list_variables(request: HttpRequest, scope: str = "", q: str = "", after: str = "") -> VariablePage:
    """`q` is a part of the name. A page ends after 100 variables, or after 1 MiB of values: ask on with `next`."""
    rows = service.listed(q.replace("\0", ""), scope.replace("\0", ""))
    if after:
        rows = service.after(rows, *read_cursor(after, str, int))
    items, size, has_more = list[Variable](), 0, False
    for row in rows[: PAGE_SIZE + 1].iterator(chunk_size=8):  # what does not fit is not read
        has_more = len(items) == PAGE_SIZE or (bool(items) and size + len(row.text or "") > PAGE_BYTES)
        if has_more:
            break
        items.append(row)
        size += len(row.text or "")
    following = cursor(items[-1].name, items[-1].pk) if has_more else None
    return VariablePage(items=[VariableOut.of(row) for row in items], next=following)


@router.get("/{scope}/{name}", response={200: VariableOut, ERRORS: ErrorBody}, summary="One variable")
def get_variable(request: HttpRequest, scope: str, name: str) -> VariableOut:
    row = service.find(place_at(scope, name))
    if row is None:
        raise _missing(scope, name)
    return VariableOut.of(row)


@router.put(
    "/{scope}/{name}",
    response={200: VariableOut, ERRORS: ErrorBody},
    auth=needs(May.EDIT),
    summary="Make or set a variable",
)
def put_variable(request: HttpRequest, scope: str, name: str, body: VariableIn) -> VariableOut:
    return VariableOut.of(service.put(place_at(scope, name), body.value, Author(user=caller(request)), body.version))


@router.delete(
    "/{scope}/{name}", response={204: None, ERRORS: ErrorBody}, auth=needs(May.EDIT), summary="Delete a variable"
)
def delete_variable(
    request: HttpRequest,
    scope: str,
    name: str,
    version: Annotated[int | None, Query(description=DELETED_VERSION)] = None,
) -> HttpResponse:
    """Its history stays."""
    if not service.delete(place_at(scope, name), Author(user=caller(request)), version):
        raise _missing(scope, name)
    return HttpResponse(status=204)


@router.get("/{scope}/{name}/history", response={200: ChangeList, ERRORS: ErrorBody}, summary="Its last 100 changes")
def variable_history(request: HttpRequest, scope: str, name: str) -> ChangeList:
    """Newest first; also of a variable that was deleted."""
    rows = service.history(place_at(scope, name))
    if not rows:
        raise _missing(scope, name)
    return ChangeList(items=[ChangeOut.of(row) for row in rows])


def _missing(scope: str, name: str) -> Refused:
    return Refused(404, "not_found", f"There is no variable {name} in {scope[:40]}.")
