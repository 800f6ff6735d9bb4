"""The pages of acts on many jobs: what will happen, and what happened to each job."""

from typing import Any
from uuid import uuid4

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.views.decorators.http import require_POST

from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.jobs.job_filter import JobFilter
from cronium_admin.jobs.job_listing import list_matching_ids
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.validation import is_tag
from cronium_admin.runs.bulk_jobs import MAX_JOBS, TAG_ACTS, Act, apply_to_jobs, find_refusal, find_sameness, read_jobs

_WORDS = {
    Act.ENABLE: ("Enable", "Their schedules launch runs again.", "enabled"),
    Act.DISABLE: (
        "Disable",
        "They can't be started, and their schedules launch nothing. Live runs continue.",
        "disabled",
    ),
    Act.RUN: ("Run", "Each gets one run, as it is.", "launched"),
    Act.ADD_TAG: ("Add the tag “{}” to", "A job that has it stays as it is.", "tagged"),
    Act.REMOVE_TAG: ("Remove the tag “{}” from", "A job without it stays as it is.", "changed"),
}


@require_POST
@require_project_permission(Permission.RUN)
def apply_act(request: HttpRequest) -> HttpResponse:
    # Without `confirmed`, a page that says what will happen; it sends the same fields with it
    user = get_current_user(request)
    act, tag = request.POST.get("act", ""), request.POST.get("tag", "").strip()
    back = f"{reverse('jobs:list')}{JobFilter.parse(QueryDict(request.POST.get('filter', ''))).to_address()}"
    context: dict[str, Any] = {"act": act, "tag": tag, "back": back, "filter": back.partition("?")[2], "nav": "jobs"}
    jobs, notes = _choose_jobs(user, request.POST)
    context["notes"] = notes
    if problem := _find_problem(act, tag, jobs, notes):
        return render(request, "jobs/bulk.html", {**context, "problem": problem}, status=422)
    verb, effect, done = _WORDS[Act(act)]
    context |= {"verb": verb.format(tag), "effect": effect, "done": done}
    if "confirmed" not in request.POST:
        refusals = [(job, find_refusal(user, job, act) or find_sameness(job, act, tag)) for job in jobs]
        context["refused"] = [(job, words) for job, words in refusals if words]
        context["jobs"] = [job for job, words in refusals if not words]
        return render(request, "jobs/bulk.html", {**context, "key": uuid4().hex})
    results = apply_to_jobs(user, jobs, act, tag, request.POST.get("key", "")[:32])
    return render(request, "jobs/bulk_done.html", {**context, **_sum_up(results)})


def _choose_jobs(user: User, sent: QueryDict) -> tuple[list[Job], list[str]]:
    # The jobs of the given ids, or all that match the filter; at most one more than MAX_JOBS. And sentences about
    # chosen jobs that no longer exist
    if sent.get("scope") == "all":
        jobs = read_jobs(
            user, list_matching_ids(user, JobFilter.parse(QueryDict(sent.get("filter", ""))), MAX_JOBS + 1)
        )
        return jobs, [] if jobs else ["No job matches the filter any more."]
    given = list(dict.fromkeys(sent.getlist("job")))[: MAX_JOBS + 1]
    jobs = read_jobs(user, [int(pk) for pk in given if pk.isdecimal() and pk.isascii() and len(pk) < 18])
    return jobs, describe_missing(len(given) - len(jobs), "job")


def describe_missing(number: int, noun: str) -> list[str]:
    """A sentence about chosen rows that were not found; none for 0."""
    words = "was not found. It may have" if number == 1 else "were not found. They may have"
    return [f"{number} of the chosen {noun}s {words} been deleted."] if number else []


def _find_problem(act: str, tag: str, jobs: list[Job], notes: list[str]) -> str:
    if act not in Act.values:
        return "Choose what to do."
    if act in TAG_ACTS and not is_tag(tag):
        return "Enter a tag: up to 40 lower-case letters, digits, '.', '_' and '-'."
    if not jobs:
        return " ".join(notes) or "Choose at least one job."
    if len(jobs) > MAX_JOBS:
        return f"More than {MAX_JOBS} jobs match. Narrow the filter: at most {MAX_JOBS} can be changed at once."
    return ""


def _sum_up(results: list[Any]) -> dict[str, Any]:
    groups = {
        "changed": [result for result in results if result.is_changed],
        "same": [result for result in results if not result.is_changed and not result.refused],
        "refused": [result for result in results if result.refused],
    }
    number = len(groups["changed"])
    return {**groups, "results": results, "summary": f"{number} job{pluralize(number)}"}
