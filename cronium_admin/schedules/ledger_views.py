"""The ledger of a schedule on its page, and what the page asks for again."""

import hashlib
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import parse_version
from cronium_admin.core.errors import ApiError
from cronium_admin.schedules import listing, service
from cronium_admin.schedules.form_preview import list_next_times
from cronium_admin.schedules.ledger_page import (
    DIFFERS,
    PERIODS,
    LedgerFilter,
    count_states,
    list_single_times,
    split_by_day,
)
from cronium_admin.schedules.models import Schedule

LEDGER_SIZE = 50
SHOWN_NEXT = 3


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def render_ledger(request: HttpRequest, pk: int) -> HttpResponse:
    # Answers 204 if the browser's version `v` is current
    schedule = service.find_schedule(get_current_user(request), pk)
    context = build_ledger(request, schedule)
    if request.GET.get("v") == context["ledger_version"]:
        return HttpResponse(status=204)
    return HttpResponse(context["ledger"])


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_single_times(request: HttpRequest, pk: int, row: int) -> HttpResponse:
    # The times of a row that stands for several: a part of the page, or without script a page of its own
    schedule = service.find_schedule(get_current_user(request), pk)
    found = schedule.occurrences.filter(pk=row).first() if row < 2**63 else None
    if found is None:
        raise ApiError(404, "not_found", "The schedule has no such time.")
    single = list_single_times(schedule, found, parse_version(request.GET.get("before", "")))
    context = {"schedule": schedule, "row": found, "single": single, "nav": "schedules"}
    is_part = "HX-Request" in request.headers
    return render(request, "schedules/_single_times.html" if is_part else "schedules/single_times.html", context)


def build_ledger(request: HttpRequest, schedule: Schedule) -> dict[str, Any]:
    """`ledger` is rendered, so that `ledger_version` changes if and only if the page does."""
    chosen = LedgerFilter.from_query(request.GET)
    page = listing.fetch_ledger(schedule, request.GET.get("after", ""), LEDGER_SIZE, chosen)
    counters, is_partial = count_states(schedule, chosen)
    context: dict[str, Any] = {
        "schedule": schedule,
        "page": page,
        "days": split_by_day(schedule, page.items),
        "planned": list_next_times(schedule, SHOWN_NEXT)[::-1] if page.is_first and not chosen.state else [],
        "counters": counters,
        "is_partial": is_partial,
        "chosen": chosen,
        "differs_query": chosen.make_query(state=DIFFERS),
        "periods": [(name, words, chosen.make_query(period=name)) for name, (_, words) in PERIODS.items()],
        "base": chosen.make_query(),
    }
    missed = listing.count_missed(schedule)
    table = render_to_string("schedules/_ledger.html", context)
    version = hashlib.sha256(f"{missed} {table}".encode()).hexdigest()[:16]
    foot = {"schedule": schedule, "missed": missed, "can": Permissions(get_current_user(request), schedule)}
    foot |= {"version": version, "base": chosen.make_query(), "is_live": page.is_first}
    ledger = table + render_to_string("schedules/_ledger_foot.html", foot, request)
    return {"ledger": ledger, "ledger_version": version}
