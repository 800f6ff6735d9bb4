"""The last log lines of the runs on a page, which lists of runs poll."""

from hashlib import sha256
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.logs.preview import MAX_RUNS, fetch_last_lines


@require_safe
@require_project_permission(Permission.VIEW)
def show_last_lines(request: HttpRequest) -> HttpResponse:
    lines = fetch_last_lines(_parse_ids(request.GET.getlist("run")), get_current_user(request))
    version = sha256(repr(sorted(lines.items())).encode()).hexdigest()[:16]
    if version == request.GET.get("v"):
        return HttpResponse(status=204)
    return render(request, "logs/_last_lines.html", {"ids": list(lines), "lines": lines, "version": version})


def _parse_ids(texts: list[str]) -> list[UUID]:
    run_ids = []
    for text in texts[:MAX_RUNS]:
        try:
            run_ids.append(UUID(text))
        except ValueError:
            continue
    return run_ids
