"""The limits of queues on the page Hosts."""

from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from cronium_admin.accounts.page_permissions import get_current_user, require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.workers.hosts.queues import MAX_RUNNING, set_limit
from cronium_admin.workers.hosts.views import render_hosts


@dataclass(frozen=True)
class RefusedLimit:
    """A limit that was not saved: what the user typed, and why."""

    queue: str
    typed: str
    error: str


@require_POST
@require_permission(Permission.ADMIN)
def change_limit(request: HttpRequest, name: str) -> HttpResponse:
    typed = request.POST.get("max_running", "").strip()
    try:
        limit = _parse_limit(typed)
        version = parse_version(request.POST.get("version", ""))
        set_limit(name, limit, get_current_user(request), version)
    except ValidationError as error:
        return _render_refused(request, 422, name, typed, " ".join(error.messages))
    except ApiError as error:
        return _render_refused(request, error.status, name, typed, error.message)
    words = "has no limit" if limit is None else f"runs at most {limit} at once"
    messages.success(request, f"The queue {name} {words}.")
    return redirect("hosts:list")


def _render_refused(request: HttpRequest, status: int, name: str, typed: str, error: str) -> HttpResponse:
    messages.error(request, f"The limit of the queue {name[:40]} is not saved.")
    return render_hosts(request, status, RefusedLimit(name, typed[:20], error))


def _parse_limit(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or not text.isascii() or len(text) > 9:
        raise ValidationError(f"Enter a whole number, 0 to {MAX_RUNNING.high:,}, or nothing for no limit.")
    return int(text)
