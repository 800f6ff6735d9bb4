"""The pages of variables: the list, one variable with its history, and its editor.

Changes carry the version that was shown.
"""

import sys
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from cronium_admin.accounts.page_permissions import (
    Permissions,
    get_current_user,
    require_project_permission,
)
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.core.json_text import format_indented
from cronium_admin.jobs.models import Job
from cronium_admin.variables import listing, service
from cronium_admin.variables.forms import VariableForm
from cronium_admin.variables.models import Variable
from cronium_admin.variables.service import SHARED, VariableRef

PAGE_SIZE = 50
STEPS_PAGE_SIZE = 20
SHOWN = 20_000  # characters of a value on its page; the download has all
COMPARED = 4000  # characters of the conflicting stored value


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def list_variables(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").replace("\0", "").strip()[:128]
    scope = request.GET.get("scope", "").replace("\0", "")[:80]
    user = get_current_user(request)
    narrowed = {name: value for name, value in (("scope", scope), ("q", query)) if value}
    context = {
        "page": listing.fetch_page(user, query, scope, request.GET.get("after", ""), PAGE_SIZE),
        "jobs": listing.list_jobs_with_variables(user),
        "can": Permissions(user),
        "query": query,
        "scope": scope,
        "query_base": urlencode(narrowed) + "&" if narrowed else "",
        "nav": "variables",
    }
    return render(request, "variables/list.html", context)


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_variable(request: HttpRequest, scope: str, name: str) -> HttpResponse:
    # A deleted variable still has its history
    place = _resolve_or_404(request, scope, name)
    variable = service.find_variable(place)
    before = request.GET.get("before", "")
    steps, older = listing.fetch_steps(
        place, int(before) if before.isdecimal() and len(before) < 18 else 0, STEPS_PAGE_SIZE
    )
    if variable is None and not steps:
        raise Http404(f"There is no variable {name} in {scope}.")
    context = {
        **_build_context(place),
        "can": Permissions(get_current_user(request), place),
        "variable": variable,
        "value": _present_value(variable, SHOWN) if variable else None,
        "steps": steps,
        "older": older,
        "is_first_page": not before,
    }
    return render(request, "variables/variable.html", context)


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def download_value(request: HttpRequest, scope: str, name: str) -> HttpResponse:
    variable = service.find_variable(_resolve_or_404(request, scope, name))
    if variable is None:
        raise Http404(f"There is no variable {name} in {scope}.")
    disposition = {"Content-Disposition": f'attachment; filename="{name}.json"'}
    return HttpResponse(variable.text, content_type="application/json", headers=disposition)


@require_http_methods(["GET", "POST"])
@never_cache
@require_project_permission(Permission.EDIT)
def create_variable(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        start = {"scope": request.GET.get("scope", SHARED), "name": request.GET.get("name", ""), "version": 0}
        return _render_editor(request, VariableForm(initial=start), None)
    form = VariableForm(request.POST.dict())
    place = None
    try:
        scope, name = str(form["scope"].value() or SHARED), str(form["name"].value() or "").strip()
        place = service.resolve_scope(get_current_user(request), scope, name, Permission.EDIT)
    except ApiError as error:
        if not form.errors.get("name"):
            form.add_error("name" if error.status == 422 else "scope", error.message)
    return _save_form(request, form, place, is_new=True)


@require_http_methods(["GET", "POST"])
@never_cache
@require_project_permission(Permission.EDIT)
def edit_variable(request: HttpRequest, scope: str, name: str) -> HttpResponse:
    # The form carries the value's version; a conflicting change is shown beside the submitted value
    place = _resolve_or_404(request, scope, name, Permission.EDIT)
    if request.method == "POST":
        return _save_form(request, VariableForm({**request.POST.dict(), "name": name, "scope": scope}), place)
    variable = service.find_variable(place)
    if variable is None:
        return redirect(f"{reverse('variables:new')}?{urlencode({'scope': scope, 'name': name})}")
    text, _ = format_indented(variable.value, sys.maxsize)
    start = {"scope": scope, "name": name, "text": text, "version": variable.version}
    return _render_editor(request, VariableForm(initial=start), place)


@require_http_methods(["GET", "POST"])
@never_cache
@require_project_permission(Permission.EDIT)
def delete_variable(request: HttpRequest, scope: str, name: str) -> HttpResponse:
    # Asks for confirmation; asks again if the value was changed in the meantime
    place = _resolve_or_404(request, scope, name, Permission.EDIT)
    status = 200
    if request.method == "POST":
        sent = request.POST.get("version", "")
        try:
            service.delete_variable(place, get_current_user(request), parse_version(sent) or -1)
        except ApiError:
            status = 409
        else:
            messages.success(request, f"The variable {name} is deleted. Its history stays.")
            return redirect("variables:list")
    variable = service.find_variable(place)
    if variable is None:
        messages.info(request, f"The variable {name} no longer exists.")
        return redirect("variables:list")
    context = {
        **_build_context(place),
        "variable": variable,
        "value": _present_value(variable, COMPARED),
        "changed": status == 409,
    }
    return render(request, "variables/delete.html", context, status=status)


def _save_form(
    request: HttpRequest, form: VariableForm, place: VariableRef | None, is_new: bool = False
) -> HttpResponse:
    shown = None if is_new else place
    if not form.is_valid() or place is None:
        return _render_editor(request, form, shown, 422)
    sent = form.cleaned_data["version"]
    try:
        row = service.set_variable(place, form.cleaned_data["text"], get_current_user(request), sent if sent else 0)
    except ApiError as error:
        if error.code == "changed_meanwhile":
            return _render_conflict(request, form, place, shown)
        form.add_error("text" if error.fields else None, error.message)
        return _render_editor(request, form, shown, 422)
    messages.success(request, f"{row.name} is saved.")
    return redirect("variables:variable", scope=_get_scope(place), name=place.name)


def _render_conflict(
    request: HttpRequest, form: VariableForm, place: VariableRef, shown: VariableRef | None
) -> HttpResponse:
    # Shows both values. Saving again overwrites, because the form now carries the stored version.
    variable = service.find_variable(place)
    form.data = {**form.data, "version": str(variable.version if variable else 0)}
    other = {"variable": variable, "value": _present_value(variable, COMPARED) if variable else None}
    return _render_editor(request, form, shown, 409, other)


def _render_editor(
    request: HttpRequest,
    form: VariableForm,
    place: VariableRef | None,
    status: int = 200,
    other: dict[str, Any] | None = None,
) -> HttpResponse:
    # `place` is None for a new variable; `other` is the conflicting stored version
    context: dict[str, Any] = {
        "form": form,
        "other": other,
        "nav": "variables",
        "max_kib": service.MAX_VALUE_BYTES // 1024,
    }
    context |= (
        _build_context(place)
        if place
        else {"jobs": Job.objects.visible_to(get_current_user(request), Permission.EDIT).only("slug", "name")}
    )
    return render(request, "variables/editor.html", context, status=status)


def _resolve_or_404(
    request: HttpRequest, scope: str, name: str, permission: Permission = Permission.VIEW
) -> VariableRef:
    try:
        return service.resolve_scope(get_current_user(request), scope, name, permission)
    except ApiError as error:
        if error.status == 422:  # no variable has such a name
            raise Http404(error.message) from error
        raise


def _get_scope(place: VariableRef) -> str:
    return place.job.slug if place.job else SHARED


def _build_context(place: VariableRef) -> dict[str, Any]:
    return {"place": place, "scope": _get_scope(place), "name": place.name, "nav": "variables"}


def _present_value(row: Variable, limit: int) -> dict[str, Any]:
    text = row.text or ""
    head, is_cut = format_indented(row.value, limit)
    return {
        "text": head,
        "is_cut": is_cut,
        "bytes": len(text.encode()),
        "type": listing.detect_type(text),
        "shown": limit,
    }
