"""What the lists ask for again and again: the last lines of the runs on the screen."""

from hashlib import sha256
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.logs.preview import MAX_RUNS, fetch_last_lines


@require_safe
@require_permission(Permission.VIEW)
def show_last_lines(request: HttpRequest) -> HttpResponse:
    """What each `run` said last, and the next question, about those that go on; 204 when version `v` showed that."""
    lines = fetch_last_lines(_parse_ids(request.GET.getlist("run")))
    version = sha256(repr(sorted(lines.items())).encode()).hexdigest()[:16]
    if version == request.GET.get("v"):
        return HttpResponse(status=204)
    return render(request, "logs/_last_lines.html", {"ids": list(lines), "lines": lines, "version": version})


def _parse_ids(given: list[str]) -> list[UUID]:
    found = []
    for one in given[:MAX_RUNS]:
        try:
            found.append(UUID(one))
        except ValueError:
            continue
    return found
