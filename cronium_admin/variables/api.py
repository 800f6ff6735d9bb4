"""The API routes under /variables. `scope` is a job's slug, or `shared` for the variables of all jobs."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ApiError, ErrorBody
from cronium_admin.core.paging import make_cursor, parse_cursor
from cronium_admin.variables import service
from cronium_admin.variables.models import Variable
from cronium_admin.variables.schemas import ChangeList, ChangeOut, VariableIn, VariableOut, VariablePage
from cronium_admin.variables.service import VariableRef, resolve_scope

router = Router(tags=["variables"], auth=require_project_permission(Permission.VIEW))
PAGE_SIZE, PAGE_BYTES = 100, 1024 * 1024


@router.get("", response={200: VariablePage, ANY_ERROR: ErrorBody}, summary="Variables, by name")
def list_variables(request: HttpRequest, scope: str = "", q: str = "", after: str = "") -> VariablePage:
    """`q` is a part of the name. A page ends after 100 variables or 1 MiB of values; `next` leads to the next page."""
    rows = service.search_variables(get_caller(request), q.replace("\0", ""), scope.replace("\0", ""))
    if after:
        rows = service.filter_after_name(rows, *parse_cursor(after, str, int))
    items, size, has_more = list[Variable](), 0, False
    for row in rows[: PAGE_SIZE + 1].iterator(chunk_size=8):  # further rows are not read
        has_more = len(items) == PAGE_SIZE or (bool(items) and size + len(row.text or "") > PAGE_BYTES)
        if has_more:
            break
        items.append(row)
        size += len(row.text or "")
    following = make_cursor(items[-1].name, items[-1].pk) if has_more else None
    return VariablePage(items=[VariableOut.from_variable(row) for row in items], next=following)


@router.get("/{scope}/{name}", response={200: VariableOut, ANY_ERROR: ErrorBody}, summary="One variable")
def get_variable(request: HttpRequest, scope: str, name: str) -> VariableOut:
    row = service.find_variable(_resolve(request, scope, name))
    if row is None:
        raise _make_missing_error(scope, name)
    return VariableOut.from_variable(row)


@router.put(
    "/{scope}/{name}",
    response={200: VariableOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Create or set a variable",
)
def put_variable(request: HttpRequest, scope: str, name: str, body: VariableIn) -> VariableOut:
    caller = get_caller(request)
    return VariableOut.from_variable(
        service.set_variable(_resolve(request, scope, name, Permission.EDIT), body.value, caller, body.version)
    )


@router.delete(
    "/{scope}/{name}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Delete a variable",
)
def delete_variable(
    request: HttpRequest,
    scope: str,
    name: str,
    version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None,
) -> HttpResponse:
    """The history is kept."""
    place = _resolve(request, scope, name, Permission.EDIT)
    if not service.delete_variable(place, get_caller(request), version):
        raise _make_missing_error(scope, name)
    return HttpResponse(status=204)


@router.get(
    "/{scope}/{name}/history",
    response={200: ChangeList, ANY_ERROR: ErrorBody},
    summary="The last 100 changes of a variable",
)
def variable_history(request: HttpRequest, scope: str, name: str) -> ChangeList:
    """Newest first; also for a deleted variable."""
    rows = service.list_changes(_resolve(request, scope, name))
    if not rows:
        raise _make_missing_error(scope, name)
    return ChangeList(items=[ChangeOut.from_change(row) for row in rows])


def _resolve(request: HttpRequest, scope: str, name: str, permission: Permission = Permission.VIEW) -> VariableRef:
    return resolve_scope(get_caller(request), scope, name, permission)


def _make_missing_error(scope: str, name: str) -> ApiError:
    return ApiError(404, "not_found", f"There is no variable {name} in {scope[:40]}.")
