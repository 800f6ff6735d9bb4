"""The pages of checks."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cron_rules.zones import list_zone_names
from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import choose_project_id
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.expectations import checks, listing
from cronium_admin.expectations.check_forms import CheckForm
from cronium_admin.expectations.check_models import Check
from cronium_admin.expectations.check_urls import build_ping_url
from cronium_admin.expectations.check_words import describe_rhythm
from cronium_admin.expectations.pings import BODY_LIMIT
from cronium_admin.jobs.expected_by import UNITS

SHOWN = 500  # checks on the page
SHOWN_PINGS, SHOWN_CHARACTERS = 30, 4000
SHOWN_INCIDENTS = 10
_GONE = "Somebody deleted this check. Your values are below: saving creates a new check, with another URL."


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_checks(request: HttpRequest) -> HttpResponse:
    user = get_current_user(request)
    rows = list(checks.list_checks(user).order_by("name", "pk")[: SHOWN + 1])
    context = {
        "rows": [(check, describe_rhythm(check)) for check in rows[:SHOWN]],
        "has_more": len(rows) > SHOWN,
        "can": Permissions(user),
        "nav": "incidents",
    }
    return render(request, "expectations/checks.html", context)


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_check(request: HttpRequest, pk: int) -> HttpResponse:
    return _render_check(request, checks.find_check(get_current_user(request), pk))


@require_http_methods(["GET", "POST"])
@never_cache
@require_project_permission(Permission.EDIT)
def create_check(request: HttpRequest) -> HttpResponse:
    choose_project_id(get_current_user(request), Permission.EDIT)  # refuses a user who can't create one
    return _save_or_render(request, CheckForm(request.POST if request.method == "POST" else None), None)


@require_http_methods(["GET", "POST"])
@never_cache
@require_project_permission(Permission.EDIT)
def edit_check(request: HttpRequest, pk: int) -> HttpResponse:
    check = checks.find_check(get_current_user(request), pk, Permission.EDIT)
    return _save_or_render(request, CheckForm(request.POST if request.method == "POST" else None, check=check), check)


@require_POST
@require_project_permission(Permission.EDIT)
def switch_check(request: HttpRequest, pk: int) -> HttpResponse:
    # Pauses or resumes it
    is_resumed = request.POST.get("enabled") == "on"
    text = "waits for its next ping." if is_resumed else "is paused. Its pings are recorded only."
    return _change(
        request, pk, lambda check, by, version: checks.edit_check(check, {"enabled": is_resumed}, by, version), text
    )


@require_POST
@require_project_permission(Permission.EDIT)
def rotate_check(request: HttpRequest, pk: int) -> HttpResponse:
    return _change(request, pk, checks.rotate_key, "has a new URL. The one before is not found any more.")


@require_http_methods(["GET", "POST"])
@never_cache
@require_project_permission(Permission.EDIT)
def delete_check(request: HttpRequest, pk: int) -> HttpResponse:
    # Asks for confirmation; asks again if the check was changed in the meantime
    check = checks.find_check(get_current_user(request), pk, Permission.EDIT)
    conflict = None
    if request.method == "POST":
        try:
            checks.delete_check(check, parse_version(request.POST.get("version", "")) or -1)
        except EditConflict as error:
            conflict = error
        else:
            messages.success(request, f"The check {check.name} is deleted.")
            return redirect("expectations:checks")
    context = {"check": conflict.stored if conflict else check, "conflict": conflict, "nav": "incidents"}
    return render(request, "expectations/check_delete.html", context, status=409 if conflict else 200)


def _change(request: HttpRequest, pk: int, change: Any, text: str) -> HttpResponse:
    by = get_current_user(request)
    check = checks.find_check(by, pk, Permission.EDIT)
    try:
        saved = change(check, by, parse_version(request.POST.get("version", "")))
    except EditConflict as error:
        messages.error(request, error.message)
        return _render_check(request, error.stored, status=409)
    except ValidationError as error:  # of a rule that another version stored
        messages.error(request, f"Not saved: {' '.join(error.messages)} Edit the check.")
        return redirect("expectations:check", pk=pk)
    messages.success(request, f"{saved.name} {text}")
    return redirect("expectations:check", pk=pk)


def _render_check(request: HttpRequest, check: Check, status: int = 200) -> HttpResponse:
    user = get_current_user(request)
    context = {
        "check": check,
        "words": describe_rhythm(check),
        "ping_url": build_ping_url(request, user, check),
        "pings": [
            (ping, ping.body[:SHOWN_CHARACTERS], len(ping.body) > SHOWN_CHARACTERS, ping.body_bytes > BODY_LIMIT)
            for ping in check.pings.order_by("-number")[:SHOWN_PINGS]
        ],
        "incidents": listing.list_incidents(user)
        .filter(of_check=check)
        .order_by("-opened_at", "-pk")[:SHOWN_INCIDENTS],
        "can": Permissions(user, check),
        "nav": "incidents",
    }
    return render(request, "expectations/check.html", context, status=status)


def _save_or_render(request: HttpRequest, form: CheckForm, check: Check | None) -> HttpResponse:
    if request.method != "POST":
        return _render_form(request, form, check)
    if not form.is_valid():
        return _render_form(request, form, check, status=422)
    values, by = form.collect_values(), get_current_user(request)
    try:
        if check is None:
            saved = checks.create_check(values, by)
        else:
            saved = checks.edit_check(check, values, by, parse_version(request.POST.get("version", "")))
    except EditConflict as error:
        return _render_form(request, form, check, error, 409)
    except ValidationError as error:
        form.add_service_errors(error)
        return _render_form(request, form, check, status=422)
    except ApiError as error:
        if error.status == 404:
            form.add_error(None, _GONE)
            return _render_form(request, form, None, status=422)
        form.add_api_error(error)
        return _render_form(request, form, check, status=error.status)
    messages.success(request, f"{saved.name} is saved.")
    return redirect("expectations:check", pk=saved.pk)


def _render_form(
    request: HttpRequest,
    form: CheckForm,
    check: Check | None,
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    version: int | None = check.version if check else None
    if form.is_bound and not conflict:  # a form with errors keeps the version that it was opened with
        version = parse_version(request.POST.get("version", "")) or version
    if conflict:
        version = conflict.stored.version
    context: dict[str, Any] = {
        "form": form,
        "check": check,
        "version": version,
        "conflict": conflict,
        "span_units": UNITS,
        "zones": sorted(list_zone_names()),
        "action": reverse("expectations:check-edit", args=[check.pk]) if check else reverse("expectations:check-new"),
        "nav": "incidents",
    }
    return render(request, "expectations/check_form.html", context, status=status)
