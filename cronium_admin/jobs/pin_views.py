"""The button that pins a job, on the list and on the job's page."""

import re

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.pins import set_pin

_ADDRESS = re.compile(r"/[!-~]{0,2000}")


@require_POST
@require_project_permission(Permission.VIEW)
def pin_job(request: HttpRequest, slug: str) -> HttpResponse:
    # `pinned` is the wanted state. htmx gets the button; a browser without script goes back to `back`
    user, shown = get_current_user(request), request.POST.get("job", "")
    pk = int(shown) if shown.isdecimal() and len(shown) < 18 else None
    job = find_job(user, slug, only=("pk", "name"), pk=pk)
    is_pinned = request.POST.get("pinned") == "on"
    set_pin(user, job, is_pinned)
    if getattr(request, "htmx", False):
        context = {"job": job, "is_pinned": is_pinned, "back": request.POST.get("back", "")}
        return render(request, "jobs/_pin.html", context)
    back = request.POST.get("back", "")
    is_own = _ADDRESS.fullmatch(back) and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return HttpResponseRedirect(back if is_own else reverse("jobs:job", args=[slug]))
