"""The API routes of saved views of the list of jobs."""

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.responses import Status
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, StrictStr

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP, DELETE_VERSION_HELP, OMITTED
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.jobs import view_service
from cronium_admin.jobs.list_models import JobView

router = Router(tags=["jobs"], auth=require_project_permission(Permission.VIEW))
_QUERY = "The filter by the names of `GET /jobs`, and `sort`. Values that no filter has are omitted."


class ViewIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: StrictStr
    query: dict[str, StrictStr] = Field(description=_QUERY)
    project: StrictStr = Field(default="", description="The slug of the project; empty: for the caller only.")


class ViewChange(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: StrictStr = OMITTED
    query: Annotated[dict[str, StrictStr], Field(description=_QUERY)] = OMITTED
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class ViewOut(BaseModel):
    id: int
    name: str
    query: dict[str, str]
    project: str | None = Field(description="Null: the caller's own.")
    version: int
    updated_by: str | None
    updated_at: AwareDatetime

    @classmethod
    def from_view(cls, view: JobView) -> "ViewOut":
        same: dict[str, Any] = {name: getattr(view, name) for name in ("name", "query", "version", "updated_at")}
        by = view.updated_by.get_username() if view.updated_by else None
        return cls(id=view.pk, project=view.project.slug if view.project else None, updated_by=by, **same)


class ViewList(BaseModel):
    items: list[ViewOut]


@router.get("", response={200: ViewList, ANY_ERROR: ErrorBody}, summary="The caller's and the teams' views of jobs")
def list_job_views(request: HttpRequest) -> ViewList:
    return ViewList(items=[ViewOut.from_view(view) for view in view_service.list_views(get_caller(request))])


@router.post("", response={201: ViewOut, ANY_ERROR: ErrorBody}, summary="Save a view of jobs")
def create_job_view(request: HttpRequest, body: ViewIn) -> Status[ViewOut]:
    """For a team, it takes the permission to edit the project."""
    view = view_service.create_view(get_caller(request), body.name, body.query, body.project)
    return Status(201, ViewOut.from_view(view))


@router.get("/{int:pk}", response={200: ViewOut, ANY_ERROR: ErrorBody}, summary="One view of jobs")
def get_job_view(request: HttpRequest, pk: int) -> ViewOut:
    return ViewOut.from_view(view_service.find_view(get_caller(request), pk))


@router.patch("/{int:pk}", response={200: ViewOut, ANY_ERROR: ErrorBody}, summary="Change a view of jobs")
def change_job_view(request: HttpRequest, pk: int, body: ViewChange) -> ViewOut:
    caller, changes = get_caller(request), body.model_dump(exclude_unset=True, exclude={"version"})
    view = view_service.find_view(caller, pk, to_edit=True)
    return ViewOut.from_view(view_service.change_view(view, changes, caller, body.version))


@router.delete("/{int:pk}", response={204: None, ANY_ERROR: ErrorBody}, summary="Delete a view of jobs")
def remove_job_view(
    request: HttpRequest, pk: int, version: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    view_service.delete_view(view_service.find_view(get_caller(request), pk, to_edit=True), version)
    return HttpResponse(status=204)


@router.put("/{int:pk}/default", response={204: None, ANY_ERROR: ErrorBody}, summary="Make a view the default")
def set_job_view_default(request: HttpRequest, pk: int) -> HttpResponse:
    """For the caller only: the page of jobs opens with it."""
    view_service.set_default_view(get_caller(request), view_service.find_view(get_caller(request), pk), True)
    return HttpResponse(status=204)


@router.delete("/{int:pk}/default", response={204: None, ANY_ERROR: ErrorBody}, summary="Make it no default")
def remove_job_view_default(request: HttpRequest, pk: int) -> HttpResponse:
    view_service.set_default_view(get_caller(request), view_service.find_view(get_caller(request), pk), False)
    return HttpResponse(status=204)
