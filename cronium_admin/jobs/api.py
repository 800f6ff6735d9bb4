"""The API routes of jobs under /jobs. The routes of their runs are in `runs.api`."""

import math
from dataclasses import replace
from typing import Annotated

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Query, Router
from ninja.responses import Status

from cronium_admin.accounts.api_auth import get_caller, require_project_permission
from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.edit_versions import DELETE_VERSION_HELP
from cronium_admin.core.errors import ANY_ERROR, ApiError, ErrorBody
from cronium_admin.core.paging import filter_after, make_cursor, make_cursor_error, parse_cursor
from cronium_admin.images.models import Language
from cronium_admin.jobs.job_filter import JobFilter, Sort, find_unread
from cronium_admin.jobs.job_listing import Position, list_after
from cronium_admin.jobs.job_search import filter_jobs
from cronium_admin.jobs.job_states import JobState, filter_state
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job, Network
from cronium_admin.jobs.schemas import JobChange, JobIn, JobItem, JobOut, JobPage
from cronium_admin.jobs.service import create_job, delete_job, save_job

router = Router(tags=["jobs"], auth=require_project_permission(Permission.VIEW))
_LONG = ("script", "env", "input", "description", "input_schema")
SEARCH = (
    "Words (the first 20) that all must match, in any order and without case: parts of the name, slug, tags, "
    "description or script. `image:NAME` filters by the job's own image."
)
STATE = (
    "The state that the page of jobs counts: `failing` (its last run failed), `running`, `waiting`, `never` (no run "
    "of it has succeeded or failed), `ok`, `disabled`. Each job has the first that applies."
)
SORT = (
    "The order, as on the page of jobs: by `name`; `failing` jobs first; the job whose `last` run ended last first; "
    "the longest `duration` of the last run first; the lowest share of `success` of the last runs first."
)
UNREAD = "Not a value that a job can have."


def build_job_out(request: HttpRequest, job: Job) -> JobOut:
    return JobOut.from_full_job(job, with_values=can(get_caller(request), Permission.EDIT, job))


@router.get("", response={200: JobPage, ANY_ERROR: ErrorBody}, summary="All jobs, by name or another order")
def list_jobs(
    request: HttpRequest,
    q: Annotated[str, Query(max_length=200, description=SEARCH)] = "",
    state: Annotated[JobState | None, Query(description=STATE)] = None,
    language: Annotated[Language | None, Query()] = None,
    tag: Annotated[str, Query(max_length=80, description="Only jobs with this tag")] = "",
    project: Annotated[str, Query(max_length=80, description="Only jobs of the project with this slug")] = "",
    network: Annotated[Network | None, Query()] = None,
    mine: Annotated[bool, Query(description="Only jobs that the caller created")] = False,
    pinned: Annotated[bool, Query(description="Only jobs that the caller pinned")] = False,
    sort: Annotated[Sort, Query(description=SORT)] = Sort.NAME,
    after: Annotated[str, Query(max_length=1000, description="`next` of the previous page")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JobPage:
    if "\x00" in q:
        raise ApiError(
            422, "invalid", "q: Must not contain a NUL character.", {"q": ["Must not contain a NUL character."]}
        )
    fields = {"q": q, "state": state or "", "language": language or "", "network": network or ""}
    fields |= {"tag": tag, "project": project}
    chosen = JobFilter.parse({**fields, "mine": mine, "pinned": pinned})
    if problem := find_unread(chosen, fields):
        raise ApiError(422, "invalid", f"{problem}: {UNREAD}", {problem: [UNREAD]})
    if sort != Sort.NAME:
        return _list_sorted(get_caller(request), replace(chosen, sort=sort.value), after, limit)
    matching = filter_jobs(get_caller(request), chosen).select_related("profile").defer(*_LONG)
    jobs = (filter_state(matching, state) if state else matching).order_by("order_key", "id")
    if after:
        key, number = parse_cursor(after, str, int)
        if abs(int(number)) >= 2**63:
            raise make_cursor_error()
        jobs = jobs.filter(filter_after("order_key", str(key).encode("utf-8", "replace"), number))
    rows = list(jobs[: limit + 1])
    next_cursor = (
        make_cursor(bytes(rows[limit - 1].order_key).decode(), rows[limit - 1].pk) if len(rows) > limit else None
    )
    return JobPage(items=[JobItem.from_job(job) for job in rows[:limit]], next=next_cursor)


def _list_sorted(caller: User, chosen: JobFilter, after: str, limit: int) -> JobPage:
    positions = list_after(caller, chosen, _parse_position(chosen.sort, after) if after else None, limit + 1)
    shown = positions[:limit]
    rows = Job.objects.visible_to(caller).filter(pk__in=[position.pk for position in shown])
    jobs = {job.pk: job for job in rows.select_related("profile").defer(*_LONG)}
    items = [JobItem.from_job(jobs[position.pk]) for position in shown if position.pk in jobs]
    if len(positions) <= limit:
        return JobPage(items=items, next=None)
    last = shown[-1]
    return JobPage(items=items, next=make_cursor(chosen.sort, repr(last.rank), last.order_key.decode(), last.pk))


def _parse_position(sort: str, after: str) -> Position:
    of_sort, rank, name, pk = parse_cursor(after, str, str, str, int)
    try:
        position = Position(float(rank), str(name).encode(), int(pk))
    except ValueError as error:
        raise make_cursor_error() from error
    if of_sort != sort or math.isnan(position.rank):
        raise make_cursor_error()
    return position


@router.post(
    "",
    response={201: JobOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Create a job",
)
def post_job(request: HttpRequest, response: HttpResponse, body: JobIn) -> Status[JobOut]:
    job = create_job(body.get_given_fields(), get_caller(request))
    response["Location"] = reverse("api:get_job", args=[job.slug])
    return Status(201, build_job_out(request, job))


@router.get("/{slug:slug}", response={200: JobOut, ANY_ERROR: ErrorBody}, summary="One job")
def get_job(request: HttpRequest, slug: str) -> JobOut:
    return build_job_out(request, find_job(get_caller(request), slug))


@router.patch(
    "/{slug:slug}",
    response={200: JobOut, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Change a job",
)
def patch_job(request: HttpRequest, slug: str, body: JobChange) -> JobOut:
    """Changes only the given fields. Existing runs keep the values that they were launched with."""
    job = find_job(get_caller(request), slug, Permission.EDIT)
    return build_job_out(request, save_job(job, body.get_given_fields(), get_caller(request), body.revision))


@router.delete(
    "/{slug:slug}",
    response={204: None, ANY_ERROR: ErrorBody},
    auth=require_project_permission(Permission.EDIT),
    summary="Delete a job",
)
def remove_job(
    request: HttpRequest, slug: str, revision: Annotated[int | None, Query(description=DELETE_VERSION_HELP)] = None
) -> HttpResponse:
    """Its ended runs are kept as many days as the job or the settings say. 409 while a run is queued or running."""
    delete_job(find_job(get_caller(request), slug, Permission.EDIT), revision)
    return HttpResponse(status=204)
