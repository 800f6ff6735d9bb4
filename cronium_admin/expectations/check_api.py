"""The API routes of checks."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.responses import Status

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.core.paging import filter_after, make_cursor, parse_cursor
from cronium_admin.expectations import checks
from cronium_admin.expectations.check_models import Check
from cronium_admin.expectations.check_schemas import CheckChange, CheckIn, CheckOut, CheckPage, PingOut, PingPage
from cronium_admin.expectations.check_urls import build_ping_url

router = Router(tags=["checks"], auth=require_project_permission(Permission.VIEW))
PAGE_SIZE, PINGS_SIZE = 100, 20  # a ping can have 100 kB


@router.get("/checks", response={200: CheckPage, ANY_ERROR: ErrorBody}, summary="All checks, by name")
def list_checks(request: HttpRequest, after: Annotated[str, Query(max_length=1000)] = "") -> CheckPage:
    """A check expects pings of a cron that runs elsewhere, and opens an incident if none comes in time."""
    rows = checks.list_checks(get_caller(request))
    if after:
        rows = rows.filter(filter_after("name", *parse_cursor(after, str, int)))
    items = list(rows.order_by("name", "pk")[: PAGE_SIZE + 1])
    shown = items[:PAGE_SIZE]
    following = make_cursor(shown[-1].name, shown[-1].pk) if len(items) > PAGE_SIZE else None
    return CheckPage(items=[_describe(request, check) for check in shown], next=following)


@router.post(
    "/checks",
    response={201: CheckOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Create a check",
)
def create_check(request: HttpRequest, body: CheckIn) -> Status[CheckOut]:
    return Status(201, _describe(request, checks.create_check(body.list_changes(), get_caller(request))))


@router.get("/checks/{int:pk}", response={200: CheckOut, ANY_ERROR: ErrorBody}, summary="One check")
def get_check(request: HttpRequest, pk: int) -> CheckOut:
    return _describe(request, checks.find_check(get_caller(request), pk))


@router.patch(
    "/checks/{int:pk}",
    response={200: CheckOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Change a check",
)
def change_check(request: HttpRequest, pk: int, body: CheckChange) -> CheckOut:
    """Changes only the given fields."""
    caller = get_caller(request)
    check = checks.find_check(caller, pk, Permission.EDIT)
    return _describe(request, checks.edit_check(check, body.list_changes(), caller, body.version))


@router.delete(
    "/checks/{int:pk}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Delete a check",
)
def remove_check(
    request: HttpRequest, pk: int, version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    """Its pings and incidents are deleted with it."""
    checks.delete_check(checks.find_check(get_caller(request), pk, Permission.EDIT), version)
    return HttpResponse(status=204)


@router.post(
    "/checks/{int:pk}/rotate",
    response={200: CheckOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Give a check another ping URL",
)
def rotate_check(request: HttpRequest, pk: int) -> CheckOut:
    """The URL before is not found from now on."""
    caller = get_caller(request)
    return _describe(request, checks.rotate_key(checks.find_check(caller, pk, Permission.EDIT), caller))


@router.get(
    "/checks/{int:pk}/pings",
    response={200: PingPage, ANY_ERROR: ErrorBody},
    summary="Pings of a check, newest first",
)
def list_pings(request: HttpRequest, pk: int, after: Annotated[str, Query(max_length=1000)] = "") -> PingPage:
    """The last 100 are kept."""
    rows = checks.find_check(get_caller(request), pk).pings.order_by("-number")
    if after:
        [number] = parse_cursor(after, int)
        rows = rows.filter(number__lt=number)
    items = list(rows[: PINGS_SIZE + 1])
    shown = items[:PINGS_SIZE]
    following = make_cursor(shown[-1].number) if len(items) > PINGS_SIZE else None
    return PingPage(items=[PingOut.from_ping(ping) for ping in shown], next=following)


def _describe(request: HttpRequest, check: Check) -> CheckOut:
    return CheckOut.from_check(check, build_ping_url(request, get_caller(request), check))
