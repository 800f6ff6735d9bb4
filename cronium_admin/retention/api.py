"""The routes that delete runs. They are on the router of runs, because a path can have only one router."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Query
from pydantic import BaseModel, Field

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.core.timestamps import UtcDatetime
from cronium_admin.retention.deletion import MAX_DELETED, Selection, delete_run, delete_selected
from cronium_admin.runs.list_api import router
from cronium_admin.runs.lookup import find_run
from cronium_admin.runs.models import Status

__all__ = ["router"]


class DeletedOut(BaseModel):
    deleted: int
    left: int = Field(description="How many runs match still: repeat the request until it is 0.")


@router.delete(
    "/runs/{uuid:run_id}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Delete a run",
)
def remove_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Deletes the run with its log and timeline. Its number is not used again. 409 for a live run."""
    delete_run(find_run(get_caller(request), run_id, Permission.EDIT), get_caller(request))
    return HttpResponse(status=204)


@router.delete(
    "/runs",
    response={200: DeletedOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.ADMIN),
    summary="Delete runs",
)
def remove_runs(
    request: HttpRequest,
    job: Annotated[str, Query(max_length=80, description="A job's slug, also of a deleted job")] = "",
    status: Annotated[list[Status], Query(description="May be given several times; only of ended runs")] = [],  # noqa: B006
    before: Annotated[UtcDatetime | None, Query(description="They ended before this time")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_DELETED)] = MAX_DELETED,
) -> DeletedOut:
    """Deletes ended runs that match all given filters, the oldest first. At least one filter is required."""
    caller = get_caller(request)
    deleted, left = delete_selected(_build_selection(caller, job, status, before), limit)
    return DeletedOut(deleted=deleted, left=left)


def _build_selection(by: User, job: str, status: list[Status], before: datetime | None) -> Selection:
    return Selection(by, job, tuple(item.value for item in status), before)
