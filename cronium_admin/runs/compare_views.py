"""The page that compares two runs. `logs` serves the comparison of their logs."""

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.runs.comparison import compare_runs
from cronium_admin.runs.lookup import find_compared_runs, find_last_success, find_numbered_run, find_run, parse_run_id
from cronium_admin.runs.models import Run


@require_safe
@require_project_permission(Permission.VIEW)
def compare(request: HttpRequest) -> HttpResponse:
    # `a` alone is compared with the last success of its job before it, or with the run `number` of its job
    user, other = get_current_user(request), request.GET.get("b", "")
    first = parse_run_id(request.GET.get("a", ""))
    if not other:
        run = find_run(user, first)
        number = request.GET.get("number", "").strip().lstrip("#")
        found = find_numbered_run(run, number) if number else find_last_success(run)
        if found is None or found.pk == run.pk:
            return _ask_for_other(request, run, number, is_same=found is not None)
        return redirect(f"{reverse('runs:compare')}?{urlencode({'a': run.pk, 'b': found.pk})}")
    second = parse_run_id(other)
    if first == second:
        return _ask_for_other(request, find_run(user, first), is_same=True)
    a, b = find_compared_runs(user, first, second)
    shows_env = all(can(user, Permission.EDIT, run) for run in (a, b))
    context = {
        "found": compare_runs(a, b, shows_env=shows_env),
        "asked": first,
        "log_query": urlencode({"a": a.pk, "b": b.pk}),
        "nav": "runs",
    }
    return render(request, "runs/compare.html", context)


def _ask_for_other(request: HttpRequest, run: Run, number: str = "", *, is_same: bool) -> HttpResponse:
    context = {"run": run, "number": number[:20], "is_same": is_same, "nav": "runs"}
    return render(request, "runs/compare_choice.html", context)
