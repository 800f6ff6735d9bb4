"""Runs in the job editor: launch and try there, and the pane below the script that shows a run."""

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import check_can
from cronium_admin.core.errors import ApiError, collect_field_errors, summarize_fields
from cronium_admin.core.json_text import format_indented
from cronium_admin.jobs.editor_views import is_in_place, render_editor, render_editor_with_errors
from cronium_admin.jobs.forms import JobForm
from cronium_admin.jobs.lookup import find_job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.presentation import output, reasons
from cronium_admin.runs.presentation.log_panel import build_log_context
from cronium_admin.runs.tries import launch_try
from cronium_admin.runs.triggers import Trigger

_SHOWN_INPUT = 20_000  # characters


@require_POST
@require_project_permission(Permission.RUN)
def launch_in_editor(request: HttpRequest, slug: str) -> HttpResponse:
    # Launches the stored job; answers with the pane
    user = get_current_user(request)
    job = find_job(user, slug, Permission.RUN)
    try:
        run = launch(job, user, trigger=Trigger.MANUAL)
    except ApiError as error:
        return JsonResponse({"detail": error.message}, status=error.status)
    except ValidationError as error:
        return JsonResponse({"detail": summarize_fields(collect_field_errors(error))}, status=422)
    return redirect("runs:pane", pk=run.pk)


@require_POST
@require_project_permission(Permission.EDIT)
def try_job(request: HttpRequest, slug: str) -> HttpResponse:
    # Runs the sent text and settings without saving them
    user = get_current_user(request)
    job = find_job(user, slug, Permission.EDIT)
    check_can(user, Permission.RUN, job)
    form = JobForm(request.POST, job=job)
    if not form.is_valid():
        return render_editor_with_errors(request, form, job)
    status = 422
    try:
        run = launch_try(job, form.collect_values(), user)
        return redirect("runs:pane" if is_in_place(request) else "runs:run", pk=run.pk)
    except ValidationError as error:
        form.add_service_errors(error)
    except ApiError as error:
        form.add_api_error(error)
        status = error.status
    return render_editor(request, form, job, status)


@require_safe
@require_project_permission(Permission.VIEW)
def render_pane(request: HttpRequest, pk: UUID) -> HttpResponse:
    run = _get_run(request, pk)
    return render(request, "runs/_pane.html", {**_build_context(request, run), **_build_input(run)})


@require_safe
@require_project_permission(Permission.VIEW)
def render_pane_state(request: HttpRequest, pk: UUID) -> HttpResponse:
    # The parts of the pane that change while the run lives
    return render(request, "runs/_pane_state.html", _build_context(request, _get_run(request, pk)))


def _get_run(request: HttpRequest, pk: UUID) -> Run:
    related = ("job", "revision", "cancel_requested_by", "log_head")
    long = ("output", "job__script", "job__env", "job__input")
    rows = Run.objects.visible_to(get_current_user(request)).select_related(*related).defer(*long)
    return get_object_or_404(rows, pk=pk)


def _build_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    return {
        **build_log_context(run),
        **output.build_context(run),
        "is_try": run.trigger == Trigger.TRY,
        "reason": reasons.describe_reason(run.reason),
        "can": Permissions(get_current_user(request), run),
    }


def _build_input(run: Run) -> dict[str, Any]:
    if run.input is None:
        return {"input_text": ""}
    text, is_cut = format_indented(run.input, _SHOWN_INPUT)
    return {"input_text": text, "input_is_cut": is_cut}
