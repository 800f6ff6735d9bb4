"""The page of the week ahead, and the hint on the form of a schedule."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from cron_rules.errors import RuleError
from cron_rules.zones import load_zone
from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.lookup import find_job
from cronium_admin.planning.hint import Hint, find_hint
from cronium_admin.planning.visible import build_rows, choose_zone, count_assumed, list_herds, list_queues
from cronium_admin.planning.week import DEFAULT_SECONDS, compute_week
from cronium_admin.schedules.form_preview import build_values_plan
from cronium_admin.schedules.forms import ScheduleForm
from cronium_admin.schedules.models import Kind, Schedule

MAX_QUEUES = 20
MAX_ZONES = 200


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_week(request: HttpRequest) -> HttpResponse:
    user = get_current_user(request)
    enabled = Schedule.objects.visible_to(user).filter(enabled=True).order_by()
    zones = list(enabled.values_list("timezone", flat=True)[:5_000])
    zone, problem = request.GET.get("timezone", "")[:64] or choose_zone(zones), ""
    try:
        load_zone(zone)
    except RuleError as error:
        zone, problem = "UTC", str(error)
    week = compute_week(zone)
    queues = list_queues(week, user)
    context: dict[str, Any] = {
        "week": week,
        "queues": [(queue, build_rows(week, queue)) for queue in queues[:MAX_QUEUES]],
        "more_queues": max(0, len(queues) - MAX_QUEUES),
        "herds": list_herds(week, user),
        "assumed": count_assumed(week, user),
        "default_seconds": DEFAULT_SECONDS,
        "zones": sorted({*zones, "UTC", zone})[:MAX_ZONES],
        "problem": problem,
        "hours": range(24),
        "nav": "schedules",
    }
    return render(request, "planning/week.html", context, status=422 if problem else 200)


@require_POST
@never_cache
@require_project_permission(Permission.EDIT)
def render_hint(request: HttpRequest) -> HttpResponse:
    # Loaded by the form of a schedule, with its fields
    form = ScheduleForm(request.POST)
    is_wrong = form.errors.keys() & {"kind", "rule", "timezone", "every", "anchor", "at", "starts_at", "ends_at"}
    hint = None if is_wrong else _find_hint(request, form)
    return render(request, "planning/_hint.html", {"hint": hint})


def _find_hint(request: HttpRequest, form: ScheduleForm) -> Hint | None:
    own, values = parse_version(request.POST.get("schedule", "")), form.collect_rule()
    rule = values["rule"] if values.get("kind") == Kind.CRON else ""
    try:
        job = find_job(get_current_user(request), request.POST.get("job", "")[:80], Permission.EDIT)
        return find_hint(build_values_plan(values, own), values["timezone"], job.queue, rule, own)
    except (RuleError, ApiError):
        return None  # the preview and the form name the problem
