"""The pages of jobs: the list, a job with its runs, and the editor."""

from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django_htmx.http import replace_url

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import (
    Permissions,
    get_current_user,
    require_project_permission,
)
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.accounts.projects import ProjectQuerySet
from cronium_admin.core.line_text import fold_case
from cronium_admin.core.paging import Page, fetch_newest_or_first_page
from cronium_admin.images.resolution import RULES, resolve_image
from cronium_admin.jobs.concurrency import HIGHEST_PRIORITY, list_priorities
from cronium_admin.jobs.image_info import build_image_info
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.pins import find_pinned
from cronium_admin.jobs.recent_runs import fetch_recent_runs, find_late_jobs
from cronium_admin.profiles.limits import BOUNDS
from cronium_admin.profiles.service import list_launch_profiles

PAGE_SIZE = 50
RUNS_PAGE_SIZE = 25


@require_safe
@require_project_permission(Permission.VIEW)
def list_jobs(request: HttpRequest) -> HttpResponse:
    return render(request, "jobs/list.html", {**_build_list_context(request), "nav": "jobs"})


@require_safe
@require_project_permission(Permission.VIEW)
def render_job_rows(request: HttpRequest) -> HttpResponse:
    # The list as a fragment, at a URL of its own: on Back, the browser would show the fragment as the whole page
    listed = _build_list_context(request)
    response = render(request, "jobs/_list.html", listed)
    query = {"q": listed["query"]} if listed["query"] else {}
    return replace_url(response, f"{reverse('jobs:list')}{'?' if query else ''}{urlencode(query)}")


@require_safe
@require_project_permission(Permission.VIEW)
def render_live_cells(request: HttpRequest) -> HttpResponse:
    # The cells of the given rows that change; 204 if nothing has changed since version `v`
    ids = [int(pk) for pk in request.GET.getlist("id")[:PAGE_SIZE] if pk.isdecimal() and len(pk) < 18]
    jobs = Job.objects.visible_to(get_current_user(request)).filter(pk__in=ids)
    rows = _build_rows(list(jobs.only("pk", "slug", "enabled", "last_run_number")))
    changing = _build_live_context(rows)
    if changing["version"] == request.GET.get("v"):
        return HttpResponse(status=204)
    return render(request, "jobs/_live.html", {"ids": ids, **changing})


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


def _search_jobs(user: User, query: str) -> ProjectQuerySet[Job]:
    jobs = Job.objects.visible_to(user).defer("script", "env", "input")
    for word in query.split():
        jobs = jobs.filter(_match_word(word))
    return jobs


def _match_word(word: str) -> Q:
    """`image:NAME` (`image:default`: no image of its own) and `language:NAME` filter; other words are searched for."""
    name, _, value = word.partition(":")
    if name == "image" and value == "default":
        return Q(image="")
    if name == "image" and value:
        return Q(image=value) | Q(image__startswith=f"{value}:")
    if name == "language" and value:
        return Q(language=value)
    return Q(search_text__contains=fold_case(word)) | Q(tags__icontains=fold_case(word))


@require_safe
@require_project_permission(Permission.VIEW)
def redirect_to_run(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    job = find_job(get_current_user(request), slug, only=("pk",))
    return redirect("runs:run", pk=get_object_or_404(job.runs.only("pk"), number=number).pk)


def _build_list_context(request: HttpRequest) -> dict[str, Any]:
    query = request.GET.get("q", "").replace("\x00", "").strip()[:120]
    user = get_current_user(request)
    page = Paginator(_search_jobs(user, query), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = _build_rows(list(page))
    for row in rows:
        row["can_run"] = can(user, Permission.RUN, row["job"])
    listed = {"page": page, "query": query, "can": Permissions(user)}
    return {**listed, **_build_live_context(rows)}


def _fetch_run_page(job: Job, after: str) -> Page:
    runs: QuerySet[Any] = job.runs.select_related("created_by").defer("differs", "output", "sandbox")
    return fetch_newest_or_first_page(runs, after, RUNS_PAGE_SIZE)


def _build_rows(jobs: list[Job]) -> list[dict[str, Any]]:
    recent, late = fetch_recent_runs(jobs), find_late_jobs(jobs)
    return [
        {"job": job, "runs": recent[job.pk], "last": (recent[job.pk] or [None])[-1], "late": late.get(job.pk, "")}
        for job in jobs
    ]


def _build_live_context(rows: list[dict[str, Any]]) -> dict[str, Any]:
    # The context of the rows; `working` holds the live runs, whose last log lines are shown
    working = [row["last"] for row in rows if row["last"] and row["last"].is_live]
    return {"rows": rows, "version": _digest_states(rows), "working": working}


def _digest_states(rows: list[dict[str, Any]]) -> str:
    states = [(run.pk.hex, run.status, bool(run.cancel_requested_at)) for row in rows for run in row["runs"]]
    late = [(row["job"].pk, row["late"]) for row in rows if row["late"]]
    return sha256(repr((states, late)).encode()).hexdigest()[:16]
