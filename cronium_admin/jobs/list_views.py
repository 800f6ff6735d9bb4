"""The page of all jobs: filters, counters, rows, and the cells that change while runs are live."""

from collections import Counter
from hashlib import sha256
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django_htmx.http import replace_url

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.images.models import Language
from cronium_admin.jobs.job_filter import JobFilter, Sort
from cronium_admin.jobs.job_listing import Listing, list_matching
from cronium_admin.jobs.job_search import find_script_matches, list_tags, list_visible_projects
from cronium_admin.jobs.job_states import JobState
from cronium_admin.jobs.models import Job, Network
from cronium_admin.jobs.pins import find_pinned
from cronium_admin.jobs.recent_runs import fetch_failed_runs, fetch_recent_runs, find_late_jobs
from cronium_admin.jobs.view_service import list_views

PAGE_SIZE = 50
ALL_JOBS = "?sort=failing"  # an address without a query opens the default view
_STATES = (JobState.FAILING, JobState.RUNNING, JobState.WAITING, JobState.OK, JobState.NEVER, JobState.DISABLED)


@require_safe
@require_project_permission(Permission.VIEW)
def list_jobs(request: HttpRequest) -> HttpResponse:
    user, chosen = get_current_user(request), JobFilter.parse(request.GET)
    views = list_views(user)
    default = next((view for view in views if view.is_default), None)
    if default and not request.GET:
        return redirect(f"{reverse('jobs:list')}{JobFilter.parse(default.query).to_address() or ALL_JOBS}")
    return render_list(request, chosen, views)


def render_list(
    request: HttpRequest, chosen: JobFilter, views: list[Any], status: int = 200, typed: dict[str, str] | None = None
) -> HttpResponse:
    """`typed`: a view that was not saved, with its `problem`."""
    user = get_current_user(request)
    context = {**_build_list_context(request, user, chosen, views), **_build_choices(user, chosen)}
    return render(request, "jobs/list.html", {**context, "typed": typed, "nav": "jobs"}, status=status)


@require_safe
@require_project_permission(Permission.VIEW)
def render_job_rows(request: HttpRequest) -> HttpResponse:
    # The list as a fragment, at a URL of its own: on Back, the browser would show the fragment as the whole page
    user, chosen = get_current_user(request), JobFilter.parse(request.GET)
    context = _build_list_context(request, user, chosen, list_views(user))
    response = render(request, "jobs/_list.html", context)
    return replace_url(response, f"{reverse('jobs:list')}{chosen.to_address() or ALL_JOBS}")


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
    _add_failed_runs(rows)
    return render(request, "jobs/_live.html", {"ids": ids, **changing})


def _build_list_context(request: HttpRequest, user: User, chosen: JobFilter, views: list[Any]) -> dict[str, Any]:
    listing, projects = list_matching(user, chosen), list_visible_projects(user)
    page = Paginator(range(listing.number), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = _build_rows(listing.fetch(page.start_index() - 1, page.end_index()) if listing.number else [])
    _add_failed_runs(rows)
    jobs = [row["job"] for row in rows]
    names = Counter(job.name for job in jobs)
    pinned, matches = find_pinned(user, jobs), find_script_matches(jobs, chosen.q)
    for row in rows:
        job = row["job"]
        row |= {"can_run": can(user, Permission.RUN, job), "is_pinned": job.pk in pinned, "match": matches.get(job.pk)}
        row["has_namesake"] = names[job.name] > 1
    return {
        "page": page,
        "address": chosen.to_address(),
        "chosen": chosen,
        "list_address": f"{reverse('jobs:list')}{chosen.to_address() or ALL_JOBS}",
        "page_base": f"{chosen.to_address()}&" if chosen.to_address() else "?",
        "counters": _build_counters(listing, chosen),
        "total": listing.total,
        "view_tabs": _build_view_tabs(views, chosen),
        "projects": projects,
        "teams": [project for project in projects if can(user, Permission.EDIT, project)],
        "can": Permissions(user),
        **_build_live_context(rows),
    }


def _build_counters(listing: Listing, chosen: JobFilter) -> list[dict[str, Any]]:
    # Each is a link that chooses its state; the chosen one leads back to all
    counters = [{"state": "", "word": "All", "number": sum(listing.counts.values())}]
    counters += [{"state": state.value, "word": state.label, "number": listing.counts[state]} for state in _STATES]
    for counter in counters:
        counter["is_chosen"] = counter["state"] == chosen.state
        counter["address"] = chosen.to_address(state=counter["state"]) or ALL_JOBS
    return counters


def _build_view_tabs(views: list[Any], chosen: JobFilter) -> list[dict[str, Any]]:
    filters = [(view, JobFilter.parse(view.query)) for view in views]
    return [
        {
            "name": view.name,
            "address": saved.to_address() or ALL_JOBS,
            "is_chosen": saved == chosen and bool(saved.to_query()),
            "team": view.project.name if view.project else "",
        }
        for view, saved in filters
    ]


def _build_choices(user: User, chosen: JobFilter) -> dict[str, Any]:
    return {
        "languages": Language.choices,
        "networks": Network.choices,
        "sorts": Sort.choices,
        "tags": list_tags(user, chosen.tag),
        "is_filtering": chosen.is_filtering,
    }


def _build_rows(jobs: list[Job]) -> list[dict[str, Any]]:
    recent, late = fetch_recent_runs(jobs), find_late_jobs(jobs)
    last = {pk: runs[-1] for pk, runs in recent.items() if runs}
    return [
        {"job": job, "runs": recent[job.pk], "last": last.get(job.pk), "late": late.get(job.pk, "")} for job in jobs
    ]


def _add_failed_runs(rows: list[dict[str, Any]]) -> None:
    failed = fetch_failed_runs({row["job"].pk: row["runs"] for row in rows})
    for row in rows:
        row["failed"] = failed.get(row["job"].pk)


def _build_live_context(rows: list[dict[str, Any]]) -> dict[str, Any]:
    # The context of the rows; `working` holds the live runs, whose last log lines are shown
    working = [row["last"] for row in rows if row["last"] and row["last"].is_live]
    ended = [row["last"] for row in rows if row["last"] and not row["last"].is_live]
    return {"rows": rows, "version": _digest_states(rows), "working": working, "ended_runs": ended}


def _digest_states(rows: list[dict[str, Any]]) -> str:
    states = [(run.pk.hex, run.status, bool(run.cancel_requested_at)) for row in rows for run in row["runs"]]
    late = [(row["job"].pk, row["late"]) for row in rows if row["late"]]
    return sha256(repr((states, late)).encode()).hexdigest()[:16]
