"""The API route of the week ahead."""

from typing import Annotated

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from ninja import Query, Router

from cron_rules.errors import RuleError
from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.planning.schemas import WeekOut
from cronium_admin.planning.week import compute_week

router = Router(tags=["schedules"], auth=require_project_permission(Permission.VIEW))


@router.get("/schedules/week", response={200: WeekOut, ANY_ERROR: ErrorBody}, summary="The expected load of seven days")
def get_week(request: HttpRequest, timezone: Annotated[str, Query(max_length=64)] = "UTC") -> WeekOut:
    """For each queue and hour of today and the next six days in the zone: the planned runs, each with the median
    duration of the last successful runs of its job. Runs of other users count, without names."""
    try:
        week = compute_week(timezone)
    except RuleError as error:
        raise ValidationError({"timezone": [str(error)]}) from None
    return WeekOut.from_week(week, get_caller(request))
