"""The list of runs, and launch, cancel and rerun. The page of one run is `run_page`; `logs` serves the log itself."""

from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import (
    Permissions,
    get_current_user,
    require_project_permission,
)
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ApiError, collect_field_errors, summarize_fields
from cronium_admin.core.paging import fetch_newest_or_first_page
from cronium_admin.core.templatetags.ui import STATES
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.runs import filters, input_values
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import rerun
from cronium_admin.runs.lookup import select_live_runs
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.run_page import get_run
from cronium_admin.runs.triggers import Trigger

PAGE_SIZE = 50
_LONG = ("differs", "output", "sandbox")
_FILTERS = ("status", "job", "trigger", "tag", "since")


@require_safe
@require_project_permission(Permission.VIEW)
def list_runs(request: HttpRequest) -> HttpResponse:
    user, requested = get_current_user(request), _read_filters(request)
    unread_since = requested["since"] if _parse_time(requested["since"]) is None else ""
    if unread_since:
        requested["since"] = ""
    if requested["status"] not in filters.STATES:
        requested["status"] = ""
    if requested["trigger"] not in Trigger.values:
        requested["trigger"] = ""
    status, slug, after = requested["status"], requested["job"], request.GET.get("after", "")
    page = fetch_newest_or_first_page(_filter_runs(request), after, PAGE_SIZE)
    jobs = list(Job.objects.visible_to(user).only("name", "slug", "last_run_number"))
    inputs = input_values.read_input_filters(request.GET)
    query = urlencode({name: text for name, text in requested.items() if text} | input_values.build_query(inputs))
    context = {
        "page": page,
        "status": status,
        "slug": slug,
        "after": after if not page.is_first else "",
        "statuses": [(status, STATES[status][1]) for status in Status.values],
        "show_job": True,
        "query": query,
        "query_base": f"{query}&" if query else "",
        "trigger": requested["trigger"],
        "triggers": Trigger.choices,
        "tag": requested["tag"],
        "since": requested["since"],
        "inputs": inputs,
        "unread_since": unread_since[:40],
        "jobs": jobs,
        "can": Permissions(user),
        "unknown_job": slug if all(job.slug != slug for job in jobs) else "",
        "has_run": any(job.last_run_number for job in jobs),
        "nav": "runs",
    }
    return render(request, "runs/list.html", context)


@require_safe
@require_project_permission(Permission.VIEW)
def render_rows(request: HttpRequest) -> HttpResponse:
    page = fetch_newest_or_first_page(_filter_runs(request), "", PAGE_SIZE)
    return render(request, "runs/_rows.html", {"page": page, "show_job": True})


@require_safe
@require_project_permission(Permission.VIEW)
def count_live(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(select_live_runs(get_current_user(request)).count()), content_type="text/plain")


@require_POST
@require_project_permission(Permission.RUN)
def cancel_run(request: HttpRequest, pk: UUID) -> HttpResponse:
    run = get_run(request, pk, Permission.RUN)
    try:
        cancel(run, get_current_user(request))
    except ApiError as error:
        if error.status == 404:
            raise Http404(error.message) from error
        messages.warning(request, error.message)
    return redirect("runs:run", pk=pk)


@require_POST
@require_project_permission(Permission.RUN)
def rerun_run(request: HttpRequest, pk: UUID) -> HttpResponse:
    run = get_run(request, pk, Permission.RUN)
    try:
        return redirect("runs:run", pk=rerun(run, get_current_user(request)).pk)
    except (ApiError, ValidationError) as error:
        if isinstance(error, ApiError) and error.status == 404:
            raise Http404(error.message) from error
        messages.error(request, _describe_error(error))
        return redirect("runs:run", pk=pk)


def _describe_error(error: ApiError | ValidationError) -> str:
    if isinstance(error, ApiError):
        return error.message
    return f"Not started: {summarize_fields(collect_field_errors(error))}"


def _read_filters(request: HttpRequest) -> dict[str, str]:
    return {name: request.GET.get(name, "").replace("\x00", "") for name in _FILTERS}


def _filter_runs(request: HttpRequest) -> QuerySet[Run]:
    # Ignores invalid filters
    requested = _read_filters(request)
    # By id: with a join to the slug PostgreSQL would read the runs of all jobs.
    user = get_current_user(request)
    job = _find_job_id(user, requested["job"]) if requested["job"] else None
    runs = filters.filter_runs(
        Run.objects.visible_to(user).select_related("created_by").defer(*_LONG),
        states=[requested["status"]] if requested["status"] in filters.STATES else [],
        triggers=[requested["trigger"]] if requested["trigger"] in Trigger.values else [],
        job=job,
        tag=requested["tag"],
        since=_parse_time(requested["since"]),
    )
    return input_values.filter_by_input(runs, input_values.read_input_filters(request.GET))


def _find_job_id(user: User, slug: str) -> int:
    # 0, which no job has, for an unknown job
    try:
        return find_job(user, slug, only=("pk",)).pk
    except ApiError as error:
        if error.status != 404:
            raise
        return 0


def _parse_time(text: str) -> datetime | None:
    try:
        at = parse_datetime(text)
        return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC) if at else None
    except (ValueError, OverflowError):
        return None
