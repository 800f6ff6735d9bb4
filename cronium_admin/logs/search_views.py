"""The page that searches the logs of many runs, and its results, part by part."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ApiError
from cronium_admin.core.terminal_text import remove_escapes
from cronium_admin.logs.run_search import MAX_RUNS, search_runs, select_searchable, split_matches
from cronium_admin.logs.search import MAX_QUERY, InvalidQuery, Query
from cronium_admin.logs.search_slots import hold_search_slot
from cronium_admin.runs.filter_options import list_chips
from cronium_admin.runs.filters import RunFilter, count_bounded, find_jobs
from cronium_admin.runs.models import Run

MAX_STEPS = 6  # parts that follow each other without a click
FIRST_RUNS = 40  # runs of the first part, so that the newest matches appear at once
_LONG = ("differs", "output", "sandbox", "error")


@require_safe
@require_project_permission(Permission.VIEW)
def show_form(request: HttpRequest) -> HttpResponse:
    return render(request, "logs/search.html", _build_form(request))


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def show_results(request: HttpRequest, is_part: bool = False) -> HttpResponse:
    # The results of one search, and how to continue it: a part of the page, or without script a page
    user, form = get_current_user(request), _build_form(request)
    done, step = _read_number(request, "done"), _read_number(request, "step")
    query, chosen = form["query"], form["chosen"]
    runs = chosen.select(Run.objects.visible_to(user).defer(*_LONG), user)
    context: dict[str, Any] = form | {"done": done}
    try:
        with hold_search_slot():
            after = request.GET.get("after", "")
            result = search_runs(runs, query, after, limit=None if after else FIRST_RUNS)
    except InvalidQuery as error:
        context["problem"] = f"This search is not possible: {error}."
    except ApiError as error:
        context |= {"problem": error.message, "again": request.get_full_path()}
    else:
        total, has_more = count_bounded(select_searchable(runs))
        context |= {"result": result, "done": done + result.searched, "total": total, "has_more": has_more}
        context["rows"] = [
            (found, [(line, split_matches(remove_escapes(line.text), query)) for line in found.lines])
            for found in result.found
        ]
        pairs = {"after": result.next, "done": context["done"], "step": (step + 1) % MAX_STEPS}
        context |= {"continued": f"{form['address']}&{urlencode(pairs)}", "is_automatic": step + 1 < MAX_STEPS}
    return render(request, "logs/_search_part.html" if is_part else "logs/search.html", context | {"is_part": True})


def _build_form(request: HttpRequest) -> dict[str, Any]:
    user = get_current_user(request)
    chosen, unread = RunFilter.from_query(request.GET)
    jobs, unknown = find_jobs(user, chosen.job)
    text = request.GET.get("q", "").replace("\0", "")[:MAX_QUERY]
    options = {name: bool(request.GET.get(name)) for name in ("regex", "ignore_case")}
    own = {"q": text} | {name: "1" for name, is_on in options.items() if is_on}
    filters = chosen.to_query()
    return {
        "query": Query(text, **options),
        "chosen": chosen,
        "chips": list_chips(chosen, jobs, unknown),
        "unread": [each[:40] for each in unread],
        "kept": chosen.list_values(),
        "address": "&".join(filter(None, (urlencode(own), filters))),
        "own": urlencode(own),
        "filters": filters,
        "most": MAX_RUNS,
        "nav": "runs",
    }


def _read_number(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 8 else 0
