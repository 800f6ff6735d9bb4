"""The form of a schedule, with the live preview of its times.

Without script, the button "Show times" sends the whole form and stores nothing.
"""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from cron_rules.zones import list_zone_names
from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.runs.zone_times import format_zoned
from cronium_admin.schedules import service
from cronium_admin.schedules.form_preview import RulePreview, preview_form
from cronium_admin.schedules.forms import UNITS, ScheduleForm
from cronium_admin.schedules.models import Kind, Schedule
from cronium_admin.schedules.validation import RULE_FIELDS

# The fields whose errors the live preview shows.
LIVE_FIELDS = (
    *("rule", "every", "anchor", "at", "timezone", "starts_at", "ends_at"),
    *("calendar", "on_closed", "blackouts"),
)
_GONE = "This schedule was deleted in the meantime. Save to create it again."


@require_http_methods(["GET", "POST"])
@never_cache
@require_project_permission(Permission.EDIT)
def create_schedule(request: HttpRequest, slug: str) -> HttpResponse:
    job = find_job(get_current_user(request), slug, Permission.EDIT)
    if request.method != "POST":
        return _render_form(request, ScheduleForm(), job, None)
    return _save_or_show(request, ScheduleForm(request.POST), job, None)


@require_http_methods(["GET", "POST"])
@never_cache
@require_project_permission(Permission.EDIT)
def edit_schedule(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_current_user(request)
    try:
        schedule = service.find_schedule(user, pk, Permission.EDIT)
    except ApiError as error:
        if request.method != "POST" or error.status != 404 or not request.POST.get("job"):
            raise
        job = find_job(user, request.POST["job"], Permission.EDIT)
        form = ScheduleForm(request.POST)
        form.add_error(None, _GONE)
        return _render_form(request, form, job, None, status=422)
    if request.method != "POST":
        return _render_form(request, _open_form(request, schedule), schedule.job, schedule)
    return _save_or_show(request, ScheduleForm(request.POST, stored=schedule), schedule.job, schedule)


def _open_form(request: HttpRequest, schedule: Schedule) -> ScheduleForm:
    """With another rule, if the URL has one: a suggestion, which is saved only by the form."""
    form = ScheduleForm(stored=schedule)
    if schedule.kind == Kind.CRON and (rule := request.GET.get("rule", "").replace("\0", "").strip()[:500]):
        form.initial["rule"] = rule
    return form


@require_POST
@never_cache
@require_project_permission(Permission.EDIT)
def preview_rule(request: HttpRequest) -> HttpResponse:
    stored = None
    if number := parse_version(request.POST.get("schedule", "")):
        stored = service.find_schedule(get_current_user(request), max(number, 0), Permission.EDIT)
    form = ScheduleForm(request.POST, stored=stored)
    preview = _preview(form, stored)
    context = {"form": form, "schedule": stored, "preview": preview, "live": [form[name] for name in LIVE_FIELDS]}
    return render(request, "schedules/_live_preview.html", context)


def _preview(form: ScheduleForm, stored: Schedule | None) -> RulePreview:
    """Adds the rule's problems to a bound form."""
    if not form.is_bound:
        values = {name: getattr(stored, name) for name in RULE_FIELDS} if stored else {}
        if stored is None:
            return RulePreview()
        return preview_form({**values, "rule": form["rule"].value()}, stored, enabled=stored.enabled)
    wrong = {*LIVE_FIELDS, "kind"} & form.errors.keys()
    if wrong:
        return RulePreview(zone=str(form["timezone"].value() or "UTC"))
    preview = preview_form(form.collect_rule(), stored, enabled=bool(form.cleaned_data.get("enabled")))
    if preview.problems:
        form.add_service_errors(ValidationError({name: [text] for name, text in preview.problems.items()}))
    return preview


def _save_or_show(request: HttpRequest, form: ScheduleForm, job: Job, schedule: Schedule | None) -> HttpResponse:
    if request.POST.get("then") == "preview":
        return _render_form(request, form, job, schedule)
    if not form.is_valid():
        return _render_form(request, form, job, schedule, status=422)
    values, by = form.collect_values(), get_current_user(request)
    try:
        if schedule is None:
            saved = service.create_schedule(job, values, by)
        else:
            values["take_over"] = form.cleaned_data["take_over"]
            saved = service.edit_schedule(schedule, values, by, parse_version(request.POST.get("version", "")))
    except EditConflict as error:
        error.theirs = form.list_differences(error.stored)
        return _render_form(request, form, job, schedule, error, 409)
    except ValidationError as error:
        form.add_service_errors(error)
        return _render_form(request, form, job, schedule, status=422)
    except ApiError as error:
        if error.status == 404:
            form.add_error(None, _GONE)
            return _render_form(request, form, job, None, status=422)
        form.add_error("name" if "name" in error.fields else None, error.message)
        return _render_form(request, form, job, schedule, status=error.status)
    never_runs = saved.enabled and saved.next_at is None
    level = messages.WARNING if never_runs else messages.SUCCESS
    messages.add_message(request, level, f"{saved.name} is saved. {describe_next(saved)}")
    return redirect("schedules:schedule", pk=saved.pk)


def describe_next(schedule: Schedule) -> str:
    """For messages after a change."""
    if not schedule.enabled:
        return "It is disabled."
    if schedule.is_at_start:
        return "It runs when the installation starts the next time."
    if schedule.next_at is None:
        return "It has no further time."
    return f"Its next time is {format_zoned(schedule.next_at, schedule.timezone)}."


def _render_form(
    request: HttpRequest,
    form: ScheduleForm,
    job: Job,
    schedule: Schedule | None,
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    version: int | None = schedule.version if schedule else None
    if form.is_bound and not conflict:  # a form with errors keeps the version that it was opened with
        version = parse_version(request.POST.get("version", "")) or version
    if conflict:
        version = conflict.stored.version
    new_url = reverse("schedules:new", args=[job.slug])
    context: dict[str, Any] = {
        "form": form,
        "job": job,
        "schedule": schedule,
        "version": version,
        "conflict": conflict,
        "preview": _preview(form, schedule),
        "span_units": UNITS,
        "zones": sorted(list_zone_names()),
        "action": reverse("schedules:edit", args=[schedule.pk]) if schedule else new_url,
        "nav": "schedules",
        "may_take_over": schedule is not None and schedule.owner_id != request.user.pk,
    }
    return render(request, "schedules/form.html", context, status=status)
