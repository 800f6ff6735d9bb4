"""The pages of jobs: the list, a job with its runs, and the editor."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import (
    Permissions,
    get_current_user,
    require_project_permission,
)
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.paging import Page, fetch_newest_or_first_page
from cronium_admin.images.resolution import RULES, resolve_image
from cronium_admin.jobs.concurrency import HIGHEST_PRIORITY, list_priorities
from cronium_admin.jobs.image_info import build_image_info
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.pins import find_pinned
from cronium_admin.profiles.limits import BOUNDS
from cronium_admin.profiles.service import list_launch_profiles

PAGE_SIZE = 50
RUNS_PAGE_SIZE = 25


@require_safe
@require_project_permission(Permission.VIEW)
def show_job(request: HttpRequest, slug: str) -> HttpResponse:
    user = get_current_user(request)
    job = find_job(user, slug)
    page = _fetch_run_page(job, request.GET.get("after", ""))
    choice = resolve_image(job.language, job=job.image)
    context = {
        "job": job,
        "page": page,
        "after": request.GET.get("after", "") if not page.is_first else "",
        "image": choice,
        "image_why": RULES[choice.rule],
        **build_image_info(job.project_id, job.language, job.image, job.script, job.slug),
        "profiles": list_launch_profiles(job.profile, user, job),
        "priorities": list_priorities(HIGHEST_PRIORITY if can(user, Permission.EDIT, job) else job.priority),
        "bound": BOUNDS["timeout_seconds"],
        "can": Permissions(user, job),
        "is_pinned": bool(find_pinned(user, [job])),
        "variable_count": job.variables.filter(text__isnull=False).count(),
        "nav": "jobs",
    }
    return render(request, "jobs/job.html", context)


@require_safe
@require_project_permission(Permission.VIEW)
def render_run_rows(request: HttpRequest, slug: str) -> HttpResponse:
    job = find_job(get_current_user(request), slug, only=("pk",))
    return render(request, "runs/_rows.html", {"page": _fetch_run_page(job, "")})


@require_safe
@require_project_permission(Permission.VIEW)
def redirect_to_run(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    job = find_job(get_current_user(request), slug, only=("pk",))
    return redirect("runs:run", pk=get_object_or_404(job.runs.only("pk"), number=number).pk)


def _fetch_run_page(job: Job, after: str) -> Page:
    runs: QuerySet[Any] = job.runs.select_related("created_by").defer("differs", "output", "sandbox")
    return fetch_newest_or_first_page(runs, after, RUNS_PAGE_SIZE)
