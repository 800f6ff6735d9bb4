"""The API routes of a job's revisions. They are on the router of jobs, because a path can have only one router."""

from typing import Annotated

from django.http import HttpRequest
from ninja import Body, Query

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.core.paging import make_cursor, parse_cursor
from cronium_admin.jobs.api import build_job_out, router
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.restore import find_revision, restore_revision
from cronium_admin.jobs.revision_schemas import RestoreIn, RevisionItem, RevisionOut, RevisionPage
from cronium_admin.jobs.schemas import JobOut

__all__ = ["router"]


def _may_see_values(request: HttpRequest, job: Job) -> bool:
    return can(get_caller(request), Permission.EDIT, job)


@router.get(
    "/{slug:slug}/revisions",
    response={200: RevisionPage, ANY_ERROR: ErrorBody},
    summary="The revisions of a job, newest first",
)
def list_revisions(
    request: HttpRequest,
    slug: str,
    after: Annotated[str, Query(max_length=1000, description="`next` of the previous page")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> RevisionPage:
    """Every save that changes a setting adds one. Numbers can have gaps, for example after a change of the slug."""
    job = find_job(get_caller(request), slug, only=("id",))
    revisions = job.revisions.defer("settings").order_by("-number")
    if after:
        revisions = revisions.filter(number__lt=parse_cursor(after, int)[0])
    rows = list(revisions[: limit + 1])
    next_cursor = make_cursor(rows[limit - 1].number) if len(rows) > limit else None
    with_values = _may_see_values(request, job)
    return RevisionPage(
        items=[RevisionItem.from_row(row, with_values=with_values) for row in rows[:limit]], next=next_cursor
    )


@router.get(
    "/{slug:slug}/revisions/{int:number}",
    response={200: RevisionOut, ANY_ERROR: ErrorBody},
    summary="One revision, compared with another",
)
def get_revision(
    request: HttpRequest,
    slug: str,
    number: int,
    against: Annotated[int | None, Query(description="Compare with this revision; default: the one before")] = None,
) -> RevisionOut:
    job = find_job(get_caller(request), slug, only=("id",))
    row = find_revision(job, number)
    if against is None:
        other = job.revisions.select_related("script").filter(number__lt=number).order_by("-number").first()
    else:
        other = find_revision(job, against)
    return RevisionOut.compare(row, other, with_values=_may_see_values(request, job))


@router.post(
    "/{slug:slug}/revisions/{int:number}/restore",
    response={200: JobOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Restore a revision",
)
def restore_job(
    request: HttpRequest, slug: str, number: int, body: Annotated[RestoreIn | None, Body()] = None
) -> JobOut:
    """Saves the settings of the revision as a new revision, with the checks of every save. `slug` and `enabled` stay.

    Of a partial revision, only the settings that it has are restored. If nothing changes, there is no new revision.
    """
    job = find_job(get_caller(request), slug, Permission.EDIT, only=("id",))
    restored = restore_revision(job, number, get_caller(request), body.revision if body else None)
    return build_job_out(request, restored)
