"""The page of all runs: its filters, its rows, and the suggestions of its fields."""

from collections.abc import Collection
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.paging import Page, fetch_newest_or_first_page
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.retry import STATUSES as FAILURES
from cronium_admin.runs.bulk_runs import RunAct
from cronium_admin.runs.filter_options import (
    PERIOD_WORDS,
    build_facets,
    find_job_suggestions,
    has_launched_runs,
    list_chips,
    list_people,
)
from cronium_admin.runs.filters import RunFilter, count_bounded, find_jobs
from cronium_admin.runs.models import Run

PAGE_SIZE = 50
_LONG = ("differs", "output", "sandbox")


@require_safe
@require_project_permission(Permission.VIEW)
def list_runs(request: HttpRequest) -> HttpResponse:
    user = get_current_user(request)
    chosen, unread = RunFilter.from_query(request.GET)
    jobs, unknown = find_jobs(user, chosen.job)
    page, (total, has_more) = _fetch_page(_select_runs(user, chosen, jobs), request.GET.get("after", ""))
    facets, more_facets = build_facets(chosen, user)
    query = chosen.to_query()
    context = {
        **_list_choices(user, page),
        "page": page,
        "total": total,
        "has_more": has_more,
        "chosen": chosen,
        "chips": list_chips(chosen, jobs, unknown),
        "presets": _list_presets(chosen, user),
        "facets": facets,
        "more_facets": more_facets,
        "has_more_chosen": bool(chosen.tag or chosen.input or any(facet.chosen for facet in more_facets)),
        "periods": list(PERIOD_WORDS.items()),
        "people": list_people(user),
        "query": query,
        "query_base": f"{query}&" if query else "",
        "unread": [text[:40] for text in unread],
        "has_run": bool(page.items) or has_launched_runs(user),
        "nav": "runs",
    }
    return render(request, "runs/list.html", context)


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def render_rows(request: HttpRequest) -> HttpResponse:
    user = get_current_user(request)
    chosen, _ = RunFilter.from_query(request.GET)
    page = fetch_newest_or_first_page(_select_runs(user, chosen), "", PAGE_SIZE)
    return render(request, "runs/_listed_rows.html", {"page": page, **_list_choices(user, page)})


@require_safe
@require_project_permission(Permission.VIEW)
def suggest_jobs(request: HttpRequest) -> HttpResponse:
    # The options of the field Job: a part of the page
    text = request.GET.get("job", "").replace("\0", "")[:120]
    return render(request, "runs/_job_options.html", {"jobs": find_job_suggestions(get_current_user(request), text)})


def _list_choices(user: User, page: Page) -> dict[str, Any]:
    # The rows with a box, for acts on many runs
    choosable = {run.pk for run in page.items if can(user, Permission.RUN, run)}
    return {"can": Permissions(user), "choosable": choosable, "bulk_acts": RunAct.choices}


def _select_runs(user: User, chosen: RunFilter, jobs: Collection[Job] | None = None) -> QuerySet[Run]:
    runs = Run.objects.visible_to(user).select_related("created_by").defer(*_LONG)
    return chosen.select(runs, user, jobs)


def _fetch_page(runs: QuerySet[Run], after: str) -> tuple[Page, tuple[int, bool]]:
    page = fetch_newest_or_first_page(runs, after, PAGE_SIZE)
    if page.is_first and not page.next:
        return page, (len(page.items), False)
    return page, count_bounded(runs)


def _list_presets(chosen: RunFilter, user: User) -> list[tuple[str, str, bool]]:
    """Words, address and whether it is on, of the filters of one click; another click switches it off."""
    name = user.get_username()
    rows: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
        ("Failed", {"status": FAILURES}, {"status": ()}, set(chosen.status) == set(FAILURES)),
        ("Waiting or running", {"status": ("live",)}, {"status": ()}, chosen.status == ("live",)),
        ("Mine", {"by": (name,)}, {"by": ()}, chosen.by == (name,)),
        ("Last 24 hours", {"period": "24h"}, {"period": ""}, chosen.period == "24h"),
    ]
    return [
        (words, chosen.replace_values(**(off if is_on else on)).to_query(), is_on) for words, on, off, is_on in rows
    ]
