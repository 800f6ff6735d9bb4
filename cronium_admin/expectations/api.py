"""The API routes of incidents."""

from typing import Annotated

from django.http import HttpRequest
from ninja import Query, Router

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.expectations import listing
from cronium_admin.expectations.schemas import IncidentOut, IncidentPage
from cronium_admin.jobs.lookup import find_job

router = Router(tags=["incidents"], auth=require_project_permission(Permission.VIEW))
PAGE_SIZE = 100


@router.get("/incidents", response={200: IncidentPage, ANY_ERROR: ErrorBody}, summary="Incidents, newest first")
def list_incidents(
    request: HttpRequest,
    after: Annotated[str, Query(max_length=1000)] = "",
    state: Annotated[str, Query(max_length=100, description="`open` or `closed`; empty: both.")] = "",
    job: Annotated[str, Query(description="The job's slug.")] = "",
) -> IncidentPage:
    """An incident says that something expected of a job did not come in time, since when, and why."""
    rows = listing.filter_state(listing.list_incidents(get_caller(request)), state)
    if job:
        rows = rows.filter(job=find_job(get_caller(request), job, only=("pk",)))
    page = listing.fetch_page(rows, after, PAGE_SIZE)
    return IncidentPage(items=[IncidentOut.from_incident(each) for each in page.items], next=page.next or None)


@router.get("/incidents/{int:pk}", response={200: IncidentOut, ANY_ERROR: ErrorBody}, summary="One incident")
def get_incident(request: HttpRequest, pk: int) -> IncidentOut:
    return IncidentOut.from_incident(listing.find_incident(get_caller(request), pk))
