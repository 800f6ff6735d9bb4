"""The pages of acts on many runs: what will happen, and what happened to each run."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.views.decorators.http import require_POST

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.runs.bulk_runs import (
    MAX_RUNS,
    RunAct,
    RunResult,
    apply_to_runs,
    find_refusals,
    list_applicable,
    read_runs,
)
from cronium_admin.runs.bulk_views import describe_missing
from cronium_admin.runs.filters import RunFilter, count_bounded
from cronium_admin.runs.models import Run

_AGAIN = "Each gets one new run with the same script, image, settings and input."
_STOP = "Queued runs end at once. Running scripts are stopped; they have ten seconds to end. No retry follows."
# What is asked, the effect, the participle, and why a run that matches the filter is left out
_WORDS = {
    RunAct.CANCEL: ("Cancel {runs}", _STOP, "cancelled", "ended already"),
    RunAct.RERUN: ("Run {runs} again", _AGAIN, "launched", "not ended"),
    RunAct.RERUN_FAILED: ("Run {runs} again", _AGAIN, "launched", "not failed"),
}


@require_POST
@require_project_permission(Permission.RUN)
def apply_run_act(request: HttpRequest) -> HttpResponse:
    # Without `confirmed`, a page that says what will happen; it sends the same fields with it
    user, act = get_current_user(request), request.POST.get("act", "")
    chosen, _ = RunFilter.from_query(QueryDict(request.POST.get("filter", "")))
    query = chosen.to_query()
    back = f"{reverse('runs:list')}{f'?{query}' if query else ''}"
    context: dict[str, Any] = {"act": act, "back": back, "filter": query, "nav": "runs"}
    if act not in RunAct.values:
        return render(request, "runs/bulk.html", {**context, "problem": "Choose what to do."}, status=422)
    runs, notes = _choose_runs(user, chosen, act, request.POST)
    asked, effect, done, _ = _WORDS[RunAct(act)]
    context |= {"effect": effect, "done": done, "notes": notes}
    if problem := _find_problem(runs, notes):
        return render(request, "runs/bulk.html", {**context, "problem": problem}, status=422)
    if "confirmed" not in request.POST:
        refusals = find_refusals(user, runs, act)
        context["refused"] = [(run, refusals[run.pk]) for run in runs if run.pk in refusals]
        allowed = context["runs"] = [run for run in runs if run.pk not in refusals]
        context["asked"] = asked.format(runs=f"{len(allowed)} run{pluralize(len(allowed))}")
        return render(request, "runs/bulk.html", {**context, "key": uuid4().hex})
    results = apply_to_runs(user, runs, act, request.POST.get("key", "")[:32])
    return render(request, "runs/bulk_done.html", {**context, **_sum_up(user, results)})


def _choose_runs(user: User, chosen: RunFilter, act: str, sent: QueryDict) -> tuple[list[Run], list[str]]:
    # At most one run more than MAX_RUNS, and sentences about those that were chosen too but are left out
    if sent.get("scope") == "all":
        matching = chosen.select(Run.objects.visible_to(user), user)
        ids = list_applicable(matching, act, MAX_RUNS + 1)
        others, has_more = count_bounded(matching)
        others -= len(ids) if len(ids) <= MAX_RUNS else others
        why = _WORDS[RunAct(act)][3]
        suffix = f"{'+' if has_more else ''} run{pluralize(others)} that match{pluralize(others, 'es,')} the filter"
        notes = [f"{others:,}{suffix} {'has' if others == 1 else 'have'} {why}."] if others else []
        return read_runs(user, ids), notes
    given = list(dict.fromkeys(sent.getlist("run")))[: MAX_RUNS + 1]
    runs = read_runs(user, [pk for text in given if (pk := _parse_id(text))])
    return runs, describe_missing(len(given) - len(runs), "run")


def _parse_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _find_problem(runs: list[Run], notes: list[str]) -> str:
    if not runs:
        return " ".join(notes) or "Choose at least one run."
    if len(runs) > MAX_RUNS:
        return f"More than {MAX_RUNS} runs are chosen. Narrow the filter: at most {MAX_RUNS} can be changed at once."
    return ""


def _sum_up(user: User, results: list[RunResult]) -> dict[str, Any]:
    groups = {
        "changed": [result for result in results if result.is_changed],
        "same": [result for result in results if not result.is_changed and not result.refused],
        "refused": [result for result in results if result.refused],
    }
    number = len(groups["changed"])
    made = [result.made for result in results if result.made]
    return {**groups, "summary": f"{number} run{pluralize(number)}", "made": _build_address(user, made)}


def _build_address(user: User, made: list[Run]) -> str:
    # The list of exactly these runs, as far as the user launched no others between them
    if not made:
        return ""
    times = [run.created_at for run in made]
    chosen = RunFilter(
        trigger=tuple(sorted({run.trigger for run in made})),
        by=(user.get_username(),),
        since=min(times),
        until=max(times) + timedelta(microseconds=1),
    )
    return f"{reverse('runs:list')}?{chosen.to_query()}"
