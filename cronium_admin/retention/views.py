"""The pages that delete runs: one run from its page, or many by a form that counts them before it deletes."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import pluralize
from django.views.decorators.http import require_http_methods, require_POST

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ApiError
from cronium_admin.retention.deletion import MAX_DELETED, delete_run, delete_selected
from cronium_admin.retention.forms import SelectionForm
from cronium_admin.runs.lookup import find_run


@require_POST
@require_project_permission(Permission.EDIT)
def delete_one(request: HttpRequest, pk: UUID) -> HttpResponse:
    user = get_current_user(request)
    run = find_run(user, pk, Permission.EDIT)
    try:
        delete_run(run, user)
    except ApiError as error:
        messages.error(request, error.message)
        return redirect("runs:run", pk=pk)
    messages.success(request, f"Run #{run.number} of {run.job_slug} is deleted.")
    return redirect("jobs:job", slug=run.job.slug) if run.job else redirect("runs:list")


@require_http_methods(["GET", "HEAD", "POST"])
@require_project_permission(Permission.ADMIN)
def delete_many(request: HttpRequest) -> HttpResponse:
    data = request.POST if request.method == "POST" else request.GET
    has_selection = bool({"job", "status", "before"} & set(data))
    form = SelectionForm(data if has_selection else None)
    count, counted_at = None, database_now()
    if has_selection and form.is_valid():
        try:
            if request.method == "POST":
                counted_at = form.cleaned_data["counted_at"] or counted_at
            selection = form.build_selection(get_current_user(request), counted_at)
            selection.validate()
            if request.method == "POST":
                deleted, left = delete_selected(selection)
                suffix = f" {left} more match; press again to delete them." if left else ""
                messages.success(request, f"Deleted {deleted} run{pluralize(deleted)}.{suffix}")
                if not left:
                    return redirect("runs:list")
            count = selection.select_runs().count()
        except ApiError as error:
            form.add_error(None, error.message)
    status = 422 if request.method == "POST" and count is None else 200
    context = {"form": form, "count": count, "counted_at": counted_at.isoformat(), "most": MAX_DELETED, "nav": "runs"}
    return render(request, "runs/delete.html", context, status=status)
