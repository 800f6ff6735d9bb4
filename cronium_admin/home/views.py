"""The home page: what fails, runs, waits and comes next, within what the user sees."""

import re
from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.home import activity, failing
from cronium_admin.home.bars import build_day_bars
from cronium_admin.home.figures import build_periods, describe_step
from cronium_admin.home.tallies import fetch_day, fetch_launched, fetch_month
from cronium_admin.home.welcome import find_welcome
from cronium_admin.jobs.job_states import JobState, count_states
from cronium_admin.runs.job_health import BAD

# Differs in each answer
_CSRF = re.compile(r'<input type="hidden" name="csrfmiddlewaretoken" value="[^"]*">')


@require_safe
@require_project_permission(Permission.VIEW)
def show_home(request: HttpRequest) -> HttpResponse:
    html, version = _render_parts(request)
    return render(request, "home/home.html", {"parts": html, "version": version, "nav": "home"})


@require_safe
@require_project_permission(Permission.VIEW)
def render_now(request: HttpRequest) -> HttpResponse:
    # The parts of the page that change; 204 if nothing has changed since version `v`
    html, version = _render_parts(request)
    if version == request.GET.get("v"):
        return HttpResponse(status=204)
    response = HttpResponse(html)
    response["X-Version"] = version
    return response


@require_safe
@require_project_permission(Permission.VIEW)
def show_figures(request: HttpRequest) -> HttpResponse:
    # A page of its own, for browsers without script
    return render(request, "home/figures.html", {**_build_figures(get_current_user(request)), "nav": "home"})


@require_safe
@require_project_permission(Permission.VIEW)
def render_figures(request: HttpRequest) -> HttpResponse:
    return render(request, "home/_figures.html", _build_figures(get_current_user(request)))


def _render_parts(request: HttpRequest) -> tuple[str, str]:
    """The parts as HTML, and their version."""
    html = render_to_string("home/_parts.html", _build_context(get_current_user(request)), request)
    return html, sha256(_CSRF.sub("", html).encode()).hexdigest()[:16]


def _build_context(user: User) -> dict[str, Any]:
    counts = count_states(user)
    causes = failing.list_causes(user) if counts[JobState.FAILING] else []
    incidents = failing.list_open_incidents(user)
    shown = sum(len(cause.jobs) for cause in causes)
    is_fine = not causes and not incidents
    return {
        "counts": counts,
        "number": sum(counts.values()),
        "idle": counts[JobState.NEVER] + counts[JobState.DISABLED],
        "causes": causes,
        "failing_left": counts[JobState.FAILING] - shown,
        "incidents": incidents,
        "needs": counts[JobState.FAILING] + len(incidents),
        "last_failure": failing.find_last_failure(user) if is_fine else None,
        "activity": activity.fetch_activity(user),
        "next": activity.list_next_times(user),
        "pins": activity.list_pins(user),
        "slots": activity.count_slots(user),
        "launched": fetch_launched(user),
        "failures": BAD,
        "bars": build_day_bars(fetch_day(user)),
        "welcome": find_welcome(user),
        "may": Permissions(user),
    }


def _build_figures(user: User) -> dict[str, Any]:
    periods = build_periods(fetch_day(user), fetch_month(user))
    has_runs = any(period.whole.number for period in periods)
    return {"periods": [(period, describe_step(period)) for period in periods] if has_runs else []}
