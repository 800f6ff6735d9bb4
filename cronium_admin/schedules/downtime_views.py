"""The page of the last downtime: what was missed, what the policies did, and the button to run the rest."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import parse_version
from cronium_admin.schedules import last_downtime


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_downtime(request: HttpRequest) -> HttpResponse:
    downtime = last_downtime.find_last_downtime()
    rows, is_more = last_downtime.list_affected(get_current_user(request), downtime) if downtime else ([], False)
    context = {
        "downtime": downtime,
        "rows": rows,
        "is_more": is_more,
        "most": last_downtime.MAX_SCHEDULES,
        "left": sum(row.left for row in rows if row.can_run),
        "can_run": any(row.can_run and row.left for row in rows),
        "nav": "schedules",
    }
    return render(request, "schedules/downtime.html", context)


@require_POST
@require_project_permission(Permission.RUN)
def run_rest(request: HttpRequest) -> HttpResponse:
    downtime = last_downtime.find_last_downtime()
    if downtime is None or request.POST.get("ended_at") != downtime.ended_at.isoformat():
        messages.error(request, "There was another downtime in the meantime. Nothing was run: check the list.")
        return redirect("schedules:downtime")
    keys = [parse_version(text) or 0 for text in request.POST.getlist("schedule")[: last_downtime.MAX_SCHEDULES]]
    if not keys:
        messages.error(request, "Choose at least one schedule.")
        return redirect("schedules:downtime")
    result = last_downtime.run_rest(get_current_user(request), downtime, dict.fromkeys(keys))
    if result.launched:
        messages.success(request, _describe_launched(result))
    for problem in result.problems[:5]:
        messages.error(request, problem)
    if not result.launched and not result.problems:
        messages.error(request, "The chosen schedules have no missed times of this downtime any more.")
    return redirect("schedules:downtime")


def _describe_launched(result: last_downtime.CatchUp) -> str:
    times = "1 missed time runs" if result.launched == 1 else f"{result.launched} missed times run"
    schedules = "1 schedule" if result.schedules == 1 else f"{result.schedules} schedules"
    rest = f" At most {last_downtime.MAX_LAUNCHED} are launched at once; {result.left} are left." if result.left else ""
    return f"{times} now, of {schedules}.{rest}"
