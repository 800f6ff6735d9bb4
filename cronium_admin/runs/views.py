"""Cancel and rerun of a run, and the number of live runs. The list is `list_views`; the page of a run, `run_views`."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.page_permissions import (
    get_current_user,
    require_project_permission,
)
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ApiError, collect_field_errors, summarize_fields
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import rerun
from cronium_admin.runs.lookup import select_live_runs
from cronium_admin.runs.run_views import get_run


@require_safe
@require_project_permission(Permission.VIEW)
def count_live(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(select_live_runs(get_current_user(request)).count()), content_type="text/plain")


@require_POST
@require_project_permission(Permission.RUN)
def cancel_run(request: HttpRequest, pk: UUID) -> HttpResponse:
    run = get_run(request, pk, Permission.RUN)
    try:
        cancel(run, get_current_user(request))
    except ApiError as error:
        if error.status == 404:
            raise Http404(error.message) from error
        messages.warning(request, error.message)
    return redirect("runs:run", pk=pk)


@require_POST
@require_project_permission(Permission.RUN)
def rerun_run(request: HttpRequest, pk: UUID) -> HttpResponse:
    run = get_run(request, pk, Permission.RUN)
    try:
        return redirect("runs:run", pk=rerun(run, get_current_user(request)).pk)
    except (ApiError, ValidationError) as error:
        if isinstance(error, ApiError) and error.status == 404:
            raise Http404(error.message) from error
        messages.error(request, _describe_error(error))
        return redirect("runs:run", pk=pk)


def _describe_error(error: ApiError | ValidationError) -> str:
    if isinstance(error, ApiError):
        return error.message
    return f"Not started: {summarize_fields(collect_field_errors(error))}"
