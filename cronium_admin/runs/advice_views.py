"""The advice on a job's page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.jobs.lookup import find_job
from cronium_admin.runs.advice_facts import MAX_RUNS, read_advice


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def render_advice(request: HttpRequest, slug: str) -> HttpResponse:
    user = get_current_user(request)
    job = find_job(user, slug)
    advice = read_advice(job, user)
    context = {"job": job, "advice": advice, "max_runs": MAX_RUNS, "can": Permissions(user, job)}
    return render(request, "runs/_advice.html", context)
