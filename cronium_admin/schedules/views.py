"""The pages of schedules: the list, the section of a job's page, and one schedule with its ledger."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cron_rules.zones import TZDATA_VERSION
from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.lookup import find_job
from cronium_admin.schedules import catch_up, listing, service
from cronium_admin.schedules.editor_views import describe_next
from cronium_admin.schedules.form_preview import build_schedule_year, list_next_times
from cronium_admin.schedules.input_problems import list_input_problems
from cronium_admin.schedules.last_downtime import find_last_downtime
from cronium_admin.schedules.ledger_views import build_ledger
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.policy_words import describe_actor, describe_policies
from cronium_admin.schedules.schemas import describe_stored

PAGE_SIZE = 50
SHOWN_TIMES = 5
MAX_RUN = 100  # missed times in one request


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_schedules(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").replace("\0", "").strip()[:120]
    job = request.GET.get("job", "").replace("\0", "")[:80]
    user = get_current_user(request)
    narrowed = {name: value for name, value in (("job", job), ("q", query)) if value}
    context = {
        "page": listing.fetch_page(user, query, job, request.GET.get("after", ""), PAGE_SIZE),
        "jobs": listing.list_jobs_with_schedules(user),
        "can": Permissions(user),
        "query": query,
        "job": job,
        "query_base": urlencode(narrowed) + "&" if narrowed else "",
        "downtime": find_last_downtime(),
        "nav": "schedules",
    }
    return render(request, "schedules/list.html", context)


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def render_job_schedules(request: HttpRequest, slug: str) -> HttpResponse:
    # The section of the job's page, and with `short` the one of its editor
    user = get_current_user(request)
    job = find_job(user, slug, only=("pk", "name", "enabled"))
    rows = listing.list_rows_of_job(user, job, service.MAX_PER_JOB)
    name = "schedules/_in_editor.html" if "short" in request.GET else "schedules/_of_job.html"
    return render(request, name, {"job": job, "rows": rows, "can": Permissions(user, job)})


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_schedule(request: HttpRequest, pk: int) -> HttpResponse:
    return _render_schedule(request, service.find_schedule(get_current_user(request), pk))


@require_POST
@require_project_permission(Permission.EDIT)
def switch_schedule(request: HttpRequest, pk: int) -> HttpResponse:
    # Enables or disables it; nothing of the past runs
    by = get_current_user(request)
    schedule = service.find_schedule(by, pk, Permission.EDIT)
    enabled = request.POST.get("enabled") == "on"
    try:
        version = parse_version(request.POST.get("version", ""))
        saved = service.edit_schedule(schedule, {"enabled": enabled}, by, version)
    except EditConflict as error:
        messages.error(request, error.message)
        return _render_schedule(request, error.stored, status=409)
    except ApiError as error:
        if error.status == 404:
            raise
        messages.error(request, error.message)
        return redirect("schedules:schedule", pk=pk)
    except ValidationError as error:  # of a rule that another version stored
        messages.error(request, f"Not saved: {' '.join(error.messages)} Edit the schedule.")
        return redirect("schedules:schedule", pk=pk)
    if enabled:
        messages.success(request, f"{saved.name} is enabled. {describe_next(saved)} Nothing of the past is run.")
    else:
        messages.success(request, f"{saved.name} is disabled. It launches no runs until it is enabled.")
    return redirect("schedules:schedule", pk=pk)


@require_http_methods(["GET", "POST"])
@never_cache
@require_project_permission(Permission.EDIT)
def delete_schedule(request: HttpRequest, pk: int) -> HttpResponse:
    # Asks for confirmation; asks again if the schedule was changed in the meantime
    schedule = service.find_schedule(get_current_user(request), pk, Permission.EDIT)
    conflict = None
    if request.method == "POST":
        try:
            service.delete_schedule(schedule, parse_version(request.POST.get("version", "")) or -1)
        except EditConflict as error:
            conflict = error
        else:
            messages.success(request, f"The schedule {schedule.name} is deleted. Its runs are kept.")
            return redirect("schedules:list")
    context: dict[str, Any] = {"schedule": conflict.stored if conflict else schedule, "conflict": conflict}
    context |= {"job": schedule.job, "words": describe_stored(context["schedule"]), "nav": "schedules"}
    return render(request, "schedules/delete.html", context, status=409 if conflict else 200)


@require_POST
@require_project_permission(Permission.RUN)
def run_missed_times(request: HttpRequest, pk: int) -> HttpResponse:
    by = get_current_user(request)
    schedule = service.find_schedule(by, pk, Permission.RUN)
    count = parse_version(request.POST.get("count", "1")) or 0
    if not 1 <= count <= MAX_RUN:
        messages.error(request, f"The number of missed times to run must be in 1 to {MAX_RUN}.")
        return redirect("schedules:schedule", pk=pk)
    _launch_missed(request, schedule, count)
    return redirect("schedules:schedule", pk=pk)


def _launch_missed(request: HttpRequest, schedule: Schedule, count: int) -> None:
    try:
        runs = catch_up.run_missed(schedule, count, get_current_user(request))
    except ApiError as error:
        messages.error(request, error.message)
    except ValidationError as error:  # the stored job can't be launched any more
        messages.error(request, " ".join(error.messages))
    else:
        words = "1 missed time runs now." if len(runs) == 1 else f"{len(runs)} missed times run now."
        messages.success(request, words)


def _render_schedule(request: HttpRequest, schedule: Schedule, status: int = 200) -> HttpResponse:
    context = {
        "schedule": schedule,
        "words": describe_stored(schedule),
        "times": list_next_times(schedule, SHOWN_TIMES),
        "year": build_schedule_year(schedule),
        "policies": describe_policies(schedule),
        "actor": describe_actor(schedule),
        "tzdata": TZDATA_VERSION,
        "input_problems": list_input_problems(schedule),
        "can": Permissions(get_current_user(request), schedule),
        "nav": "schedules",
        **build_ledger(request, schedule),
    }
    return render(request, "schedules/schedule.html", context, status=status)
