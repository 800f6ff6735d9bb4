"""The pages of calendars: the list, one calendar with its closed days, and the form with a live preview."""

from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cron_rules.errors import RuleError
from cronium_admin.accounts.page_permissions import (
    get_current_user,
    require_permission,
    require_project_permission,
)
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.schedules.calendars import service
from cronium_admin.schedules.calendars.closed_days import (
    ClosedDay,
    build_closed_days,
    describe_weekdays,
    iterate_closed,
)
from cronium_admin.schedules.calendars.forms import CalendarForm
from cronium_admin.schedules.models import Calendar, Schedule

SHOWN_SCHEDULES = 20
LIVE_FIELDS = ("name", "weekdays", "dates", "country", "subdivision")
_GONE = "This calendar was deleted in the meantime. Save to create it again."


@dataclass(frozen=True)
class ClosedPreview:
    """The closed days of the next 12 months. `problem`: why they can't be computed."""

    weekdays: str = ""
    days: list[ClosedDay] = field(default_factory=list)
    problem: str = ""


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_calendars(request: HttpRequest) -> HttpResponse:
    rows = [{"calendar": calendar, "preview": _preview(calendar)} for calendar in service.list_calendars_with_use()]
    return render(request, "calendars/list.html", {"rows": rows, "nav": "schedules"})


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_calendar(request: HttpRequest, name: str) -> HttpResponse:
    calendar = service.find_calendar(name)
    seen, others = _list_uses(request, calendar)
    context = {
        "calendar": calendar,
        "preview": _preview(calendar),
        "schedules": seen,
        "others": others,
        "nav": "schedules",
    }
    return render(request, "calendars/calendar.html", context)


def _list_uses(request: HttpRequest, calendar: Calendar) -> tuple[list[Schedule], int]:
    """The schedules to show that use it, and how many others do."""
    seen = list(service.list_schedules_of(calendar, get_current_user(request))[:SHOWN_SCHEDULES])
    return seen, service.count_schedules(calendar) - len(seen)


@require_http_methods(["GET", "POST"])
@never_cache
@require_permission(Permission.ADMIN)
def create_calendar(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _render_form(request, CalendarForm(), None)
    return _save_or_show(request, CalendarForm(request.POST), None)


@require_http_methods(["GET", "POST"])
@never_cache
@require_permission(Permission.ADMIN)
def edit_calendar(request: HttpRequest, name: str) -> HttpResponse:
    calendar = _find(name)
    if calendar is None:
        if request.method != "POST":
            raise Http404(f"There is no calendar {name}.")
        form = CalendarForm(request.POST)
        form.add_error(None, _GONE)
        return _render_form(request, form, None, status=422)
    if request.method != "POST":
        return _render_form(request, CalendarForm(stored=calendar), calendar)
    return _save_or_show(request, CalendarForm(request.POST, stored=calendar), calendar)


@require_http_methods(["GET", "POST"])
@never_cache
@require_permission(Permission.ADMIN)
def delete_calendar(request: HttpRequest, name: str) -> HttpResponse:
    # Asks for confirmation; asks again if the calendar was changed in the meantime
    calendar = _find(name)
    if calendar is None:
        raise Http404(f"There is no calendar {name}.")
    conflict = None
    if request.method == "POST":
        version = parse_version(request.POST.get("version", "")) or -1
        try:
            service.delete_calendar(calendar, get_current_user(request), version)
        except EditConflict as error:
            conflict, calendar = error, error.stored
        except ApiError as error:
            messages.error(request, error.message)
            return redirect("calendars:list" if error.status == 404 else make_calendar_url(calendar))
        else:
            messages.success(request, f"The calendar {name} is deleted.")
            return redirect("calendars:list")
    seen, others = _list_uses(request, calendar)
    context = {"calendar": calendar, "conflict": conflict, "schedules": seen, "others": others, "nav": "schedules"}
    return render(request, "calendars/delete.html", context, status=409 if conflict else 200)


@require_POST
@never_cache
@require_permission(Permission.ADMIN)
def preview_calendar(request: HttpRequest) -> HttpResponse:
    # Stores nothing
    stored = _find(request.POST.get("calendar", "")) if request.POST.get("calendar") else None
    form = CalendarForm(request.POST, stored=stored)
    preview = _preview_form(form, stored)
    live = [form[name] for name in LIVE_FIELDS]
    return render(request, "calendars/_live_preview.html", {"form": form, "preview": preview, "live": live})


def make_calendar_url(calendar: Calendar) -> str:
    return reverse("calendars:calendar", args=[calendar.name])


def _find(name: str) -> Calendar | None:
    try:
        return service.find_calendar(name)
    except ApiError:
        return None


def _preview(calendar: Calendar) -> ClosedPreview:
    try:
        days = build_closed_days(calendar)
    except RuleError as error:
        return ClosedPreview(problem=str(error))
    return ClosedPreview(describe_weekdays(days), list(iterate_closed(days, database_now().date())))


def _preview_form(form: CalendarForm, stored: Calendar | None) -> ClosedPreview:
    """Adds the problems of the fields to a bound form."""
    if not form.is_bound:
        return _preview(stored or Calendar(weekdays="sat,sun"))
    if not form.is_valid() and {*LIVE_FIELDS[1:]} & form.errors.keys():
        return ClosedPreview(problem="The days appear here as soon as the fields are correct.")
    calendar = Calendar(name="preview-of-form")
    try:
        service.apply_fields(calendar, {**form.cleaned_data, "name": calendar.name})
    except ValidationError as error:
        form.add_service_errors(error)
        return ClosedPreview(problem="The days appear here as soon as the fields are correct.")
    return _preview(calendar)


def _save_or_show(request: HttpRequest, form: CalendarForm, calendar: Calendar | None) -> HttpResponse:
    if request.POST.get("then") == "preview":
        return _render_form(request, form, calendar)
    if not form.is_valid():
        return _render_form(request, form, calendar, status=422)
    values, by = form.collect_values(), get_current_user(request)
    try:
        if calendar is None:
            saved = service.add_calendar(values, by)
        else:
            saved = service.save_calendar(calendar, values, by, parse_version(request.POST.get("version", "")))
    except EditConflict as error:
        error.theirs = form.list_differences(error.stored)
        return _render_form(request, form, calendar, error, 409)
    except ValidationError as error:
        form.add_service_errors(error)
        return _render_form(request, form, calendar, status=422)
    except ApiError as error:
        if error.status == 404:
            form.add_error(None, _GONE)
            return _render_form(request, form, None, status=422)
        form.add_error("name" if "name" in error.fields else None, error.message)
        return _render_form(request, form, calendar, status=error.status)
    messages.success(request, f"The calendar {saved.name} is saved. Its closed days count from now.")
    return redirect(make_calendar_url(saved))


def _render_form(
    request: HttpRequest,
    form: CalendarForm,
    calendar: Calendar | None,
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    version: int | None = calendar.version if calendar else None
    if form.is_bound and not conflict:  # a form with errors keeps the version that it was opened with
        version = parse_version(request.POST.get("version", "")) or version
    if conflict:
        version = conflict.stored.version
    context: dict[str, Any] = {
        "form": form,
        "calendar": calendar,
        "version": version,
        "conflict": conflict,
        "preview": _preview_form(form, calendar),
        "action": reverse("calendars:edit", args=[calendar.name]) if calendar else reverse("calendars:new"),
        "use_count": service.count_schedules(calendar) if calendar else 0,
        "nav": "schedules",
    }
    return render(request, "calendars/form.html", context, status=status)
