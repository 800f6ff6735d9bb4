"""The pages of saved views of the list of jobs."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.edit_versions import EditConflict, parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs import view_service
from cronium_admin.jobs.job_filter import JobFilter
from cronium_admin.jobs.list_models import JobView
from cronium_admin.jobs.list_views import render_list

_LABELS = {"q": "words:", "sort": "order:", "mine": "mine:", "pinned": "pinned:"}


@require_safe
@require_project_permission(Permission.VIEW)
def list_views(request: HttpRequest) -> HttpResponse:
    return _render_list(request, 200)


@require_POST
@require_project_permission(Permission.VIEW)
def add_view(request: HttpRequest) -> HttpResponse:
    user, chosen = get_current_user(request), JobFilter.parse(QueryDict(request.POST.get("filter", "")))
    try:
        project = request.POST.get("project", "")
        view = view_service.create_view(user, request.POST.get("name", ""), chosen.to_query(), project)
    except ValidationError as error:
        return _render_unsaved(request, chosen, " ".join(error.messages), 422)
    except ApiError as error:
        return _render_unsaved(request, chosen, error.message, error.status)
    if request.POST.get("default") == "on":
        view_service.set_default_view(user, view, True)
    messages.success(request, f"The view {view.name} is saved.")
    return redirect(f"{reverse('jobs:list')}{chosen.to_address() or '?sort=failing'}")


def _render_unsaved(request: HttpRequest, chosen: JobFilter, problem: str, status: int) -> HttpResponse:
    # The list, with the open form and what was typed
    typed = {name: request.POST.get(name, "")[:200] for name in ("name", "project", "default")}
    views = view_service.list_views(get_current_user(request))
    return render_list(request, chosen, views, status, {**typed, "problem": problem})


@require_POST
@require_project_permission(Permission.VIEW)
def change_view_name(request: HttpRequest, pk: int) -> HttpResponse:
    user, name = get_current_user(request), request.POST.get("name", "")
    view = view_service.find_view(user, pk, to_edit=True)
    try:
        view_service.change_view(view, {"name": name}, user, parse_version(request.POST.get("version", "")))
    except EditConflict as error:
        messages.error(request, error.message)
        return _render_list(request, 409, {pk: name})
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return _render_list(request, 422, {pk: name})
    messages.success(request, "The view is renamed.")
    return redirect("job_views:list")


@require_POST
@require_project_permission(Permission.VIEW)
def remove_view(request: HttpRequest, pk: int) -> HttpResponse:
    view = view_service.find_view(get_current_user(request), pk, to_edit=True)
    try:
        view_service.delete_view(view, parse_version(request.POST.get("version", "")))
    except EditConflict as error:
        messages.error(request, error.message)
        return _render_list(request, 409)
    messages.success(request, f"The view {view.name} is deleted.")
    return redirect("job_views:list")


@require_POST
@require_project_permission(Permission.VIEW)
def set_default(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_current_user(request)
    view_service.set_default_view(user, view_service.find_view(user, pk), request.POST.get("default") == "on")
    return redirect("job_views:list")


def _render_list(request: HttpRequest, status: int, typed: dict[int, str] | None = None) -> HttpResponse:
    user = get_current_user(request)
    rows = [_build_row(user, view, typed or {}) for view in view_service.list_views(user)]
    return render(request, "jobs/views.html", {"rows": rows, "nav": "jobs"}, status=status)


def _build_row(user: User, view: JobView, typed: dict[int, str]) -> dict[str, Any]:
    may_edit = view.project is None or can(user, Permission.EDIT, view.project)
    chosen = JobFilter.parse(view.query)
    return {
        "view": view,
        "name": typed.get(view.pk, view.name),
        "may_edit": may_edit,
        "address": chosen.to_address() or "?sort=failing",
        "words": ", ".join(f"{_LABELS.get(name, name)} {value}" for name, value in chosen.to_query().items())
        or "all jobs",
    }
