"""The part of the job editor that computes the key of the job's limit from inputs, while the form changes."""

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.jobs.concurrency import KeyFailed, compute_key, normalize_concurrency
from cronium_admin.jobs.forms import parse_json
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job


@dataclass(frozen=True)
class KeyTry:
    """The key that `source` gives; `problem`: why it gives none."""

    source: str
    key: str = ""
    problem: str = ""


@require_POST
@require_project_permission(Permission.EDIT)
def render_key(request: HttpRequest) -> HttpResponse:
    # `job` is the slug of the edited job; empty for a new one
    slug = request.POST.get("job", "")
    job = find_job(get_current_user(request), slug, Permission.EDIT, only=("pk",)) if slug else None
    tries = try_expression(request.POST.get("concurrency_key", ""), request.POST.get("input_text", ""), job)
    return render(request, "jobs/_key_tries.html", {"key_tries": tries})


def try_expression(expression: str, input_text: str, job: Job | None) -> list[KeyTry]:
    """The keys for the input of the form, and for the last run's if it is another. Empty without an expression."""
    try:
        setting = normalize_concurrency({"limit": 1, "key": expression.strip()})
    except ValidationError as error:
        return [KeyTry("", problem=str(error.error_list[0].message).removeprefix("key: "))]
    assert setting is not None
    if not setting["key"]:
        return []
    tries = []
    try:
        own = parse_json(input_text)
        tries.append(_try_input(setting, own, "the input of this form"))
    except ValidationError:
        own = None
        tries.append(KeyTry("the input of this form", problem="The input of this form is not valid JSON."))
    last = _find_last_run(job) if job and job.pk else None
    if last is not None and last.input != own:
        tries.append(_try_input(setting, last.input, f"the input of the last run, #{last.number},"))
    return tries


def _find_last_run(job: Job) -> Any:
    columns = ("job", "number", "differs", "revision__settings", "revision__is_partial")
    return job.runs.select_related("revision").only(*columns).order_by("-number").first()


def _try_input(setting: dict[str, object], value: object, source: str) -> KeyTry:
    try:
        return KeyTry(source, key=compute_key(setting, value))
    except KeyFailed as error:
        return KeyTry(source, problem=f"It can't be computed from {source.rstrip(',')}: {error}.")
