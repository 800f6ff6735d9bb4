"""The API routes under /calendars."""

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.responses import Status

from cronium_admin.accounts.api_auth import get_caller, require_permission, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.schedules.calendars import service
from cronium_admin.schedules.calendars.schemas import (
    CalendarChange,
    CalendarDetail,
    CalendarIn,
    CalendarList,
    CalendarOut,
)

router = Router(tags=["calendars"], auth=require_project_permission(Permission.VIEW))


@router.get("", response={200: CalendarList, ANY_ERROR: ErrorBody}, summary="All calendars")
def list_calendars(request: HttpRequest) -> CalendarList:
    rows = service.list_calendars_with_use()
    return CalendarList(items=[CalendarOut.from_calendar(row, row.schedule_count) for row in rows])


@router.post(
    "",
    response={201: CalendarDetail, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Create a calendar",
)
def create_calendar(request: HttpRequest, body: CalendarIn) -> Status[CalendarDetail]:
    return Status(201, CalendarDetail.from_calendar(service.add_calendar(body.list_changes(), get_caller(request)), 0))


@router.get("/{slug:name}", response={200: CalendarDetail, ANY_ERROR: ErrorBody}, summary="One calendar")
def get_calendar(request: HttpRequest, name: str) -> CalendarDetail:
    calendar = service.find_calendar(name)
    return CalendarDetail.from_calendar(calendar, service.count_schedules(calendar))


@router.patch(
    "/{slug:name}",
    response={200: CalendarDetail, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Change a calendar",
)
def change_calendar(request: HttpRequest, name: str, body: CalendarChange) -> CalendarDetail:
    """The closed days count from now: nothing of the past runs."""
    calendar = service.find_calendar(name)
    saved = service.save_calendar(calendar, body.list_changes(), get_caller(request), body.version)
    return CalendarDetail.from_calendar(saved, service.count_schedules(saved))


@router.delete(
    "/{slug:name}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_permission(Permission.ADMIN),
    summary="Delete a calendar",
)
def remove_calendar(
    request: HttpRequest, name: str, version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    """409 if a schedule uses it."""
    service.delete_calendar(service.find_calendar(name), get_caller(request), version)
    return HttpResponse(status=204)
