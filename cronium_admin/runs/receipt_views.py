"""The receipt of a run as a page to print."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.runs.lookup import find_receipt_run
from cronium_admin.runs.receipt import build_receipt


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show(request: HttpRequest, pk: UUID) -> HttpResponse:
    run = find_receipt_run(get_current_user(request), pk)
    return render(request, "runs/receipt.html", {"run": run, "receipt": build_receipt(run), "nav": "runs"})
