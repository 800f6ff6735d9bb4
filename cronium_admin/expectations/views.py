"""The page of incidents, and their section of a job's page."""

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ApiError
from cronium_admin.expectations import listing
from cronium_admin.jobs.lookup import find_job

PAGE_SIZE = 50
CLOSED_OF_JOB = 5


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_incidents(request: HttpRequest) -> HttpResponse:
    user = get_current_user(request)
    state = request.GET.get("state", "open")
    state = state if state in (*listing.STATES, "all") else "open"
    job = request.GET.get("job", "").replace("\0", "")[:80]
    rows = listing.filter_state(listing.list_incidents(user), "" if state == "all" else state)
    if job:
        rows = rows.filter(job__slug=job)
    try:
        page = listing.fetch_page(rows, request.GET.get("after", ""), PAGE_SIZE)
    except ApiError:
        page = listing.fetch_page(rows, "", PAGE_SIZE)
    of_job = f"job={job}&" if job else ""
    states = [(name, f"?{of_job}state={name}") for name in ("open", "closed", "all")]
    query_base = urlencode({"state": state} | ({"job": job} if job else {})) + "&"
    context = {"page": page, "state": state, "states": states, "job": job, "query_base": query_base}
    return render(request, "expectations/incidents.html", context | {"nav": "incidents"})


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def render_job_incidents(request: HttpRequest, slug: str) -> HttpResponse:
    # The section of the job's page
    user = get_current_user(request)
    job = find_job(user, slug)
    context = {
        "job": job,
        "open": listing.list_open_of_job(user, job),
        "closed": listing.list_closed_of_job(user, job, CLOSED_OF_JOB),
    }
    return render(request, "expectations/_of_job.html", context)
