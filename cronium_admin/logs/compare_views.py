"""The comparison of the logs of two runs: a part of the page that compares them, or without script a page."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ApiError
from cronium_admin.logs.comparison import compare_logs
from cronium_admin.logs.search_slots import hold_search_slot
from cronium_admin.runs.comparison import is_of_same_job
from cronium_admin.runs.lookup import find_compared_runs, parse_run_id


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def compare(request: HttpRequest, is_part: bool = False) -> HttpResponse:
    try:
        ids = [parse_run_id(request.GET.get(name, "")) for name in ("a", "b")]
        a, b = find_compared_runs(get_current_user(request), *ids)
    except ApiError as error:
        if not is_part:
            raise
        return render(request, "logs/_compared.html", {"problem": error.message}, status=error.status)
    is_exact = bool(request.GET.get("exact"))
    query = {"a": a.pk, "b": b.pk}
    context: dict[str, Any] = {"a": a, "b": b, "is_exact": is_exact, "nav": "runs"}
    context["is_same_job"] = is_of_same_job(a, b)
    context["toggled"] = urlencode(query if is_exact else query | {"exact": 1})
    try:
        with hold_search_slot():
            context["diff"] = compare_logs(a.pk, b.pk, normalizes=not is_exact)
    except ApiError as error:
        context["problem"] = error.message
    return render(request, "logs/_compared.html" if is_part else "logs/compared.html", context)
