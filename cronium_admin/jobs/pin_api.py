"""The API routes of pins."""

from django.http import HttpRequest, HttpResponse

from cronium_admin.accounts.api_auth import get_caller
from cronium_admin.core.errors import ERROR_STATUSES, ErrorBody
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.pins import set_pin
from cronium_admin.jobs.revisions_api import router

__all__ = ["router"]


@router.put("/{slug:slug}/pin", response={204: None, ERROR_STATUSES: ErrorBody}, summary="Pin a job")
def pin_job(request: HttpRequest, slug: str) -> HttpResponse:
    """For the caller only. `GET /jobs?pinned=true` lists the pinned jobs. Repeating it changes nothing."""
    set_pin(get_caller(request), find_job(get_caller(request), slug, only=("pk",)), True)
    return HttpResponse(status=204)


@router.delete("/{slug:slug}/pin", response={204: None, ERROR_STATUSES: ErrorBody}, summary="Unpin a job")
def remove_pin(request: HttpRequest, slug: str) -> HttpResponse:
    set_pin(get_caller(request), find_job(get_caller(request), slug, only=("pk",)), False)
    return HttpResponse(status=204)
