"""The tab History of a job: its revisions, the comparison of two, and the restore of an earlier one."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.errors import ApiError, collect_field_errors, summarize_fields
from cronium_admin.core.json_text import format_exact
from cronium_admin.core.terminal_text import escape_hidden
from cronium_admin.jobs.job_views import build_job_context
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job, JobRevision
from cronium_admin.jobs.restore import find_revision, restore_revision
from cronium_admin.jobs.revision_changes import Change, diff_scripts, list_changes
from cronium_admin.jobs.revision_rows import MAX_ROWS, list_revision_rows, name_setting

MAX_CHOICES = 200  # revisions in the selects of a comparison
MAX_VALUE = 400  # characters of a value
_KINDS = {"+": "added", "-": "removed", "@": "place"}


@dataclass(frozen=True)
class DiffLine:
    kind: str  # added, removed, place or same
    text: str


@dataclass(frozen=True)
class Comparison:
    before: JobRevision
    after: JobRevision
    changes: list[tuple[str, str, str]]
    lines: list[DiffLine]


@require_safe
@require_project_permission(Permission.VIEW)
def show_history(request: HttpRequest, slug: str) -> HttpResponse:
    job = find_job(get_current_user(request), slug)
    last = _parse_number(request.GET.get("to")) or job.revision
    rows = list_revision_rows(job, 1, last)
    oldest = rows[-1].before if len(rows) == MAX_ROWS else None
    numbers = list(job.revisions.order_by("-number").values_list("number", flat=True)[:MAX_CHOICES])
    context = {
        **build_job_context(request, job, "history"),
        "rows": rows,
        "older": oldest,
        "numbers": numbers,
        "comparison": _compare(request, job),
    }
    return render(request, "jobs/job.html", context)


@require_POST
@require_project_permission(Permission.EDIT)
def restore(request: HttpRequest, slug: str) -> HttpResponse:
    user = get_current_user(request)
    job = find_job(user, slug, Permission.EDIT, only=("id", "revision"))
    number, shown = _parse_number(request.POST.get("number")), _parse_number(request.POST.get("revision"))
    if number is None:
        messages.error(request, "Choose the revision to restore.")
        return redirect("jobs:history", slug=job.slug)
    try:
        restored = restore_revision(job, number, user, shown)
    except ApiError as error:
        if error.status == 404:
            raise Http404(error.message) from error
        messages.error(request, error.message)
        return redirect("jobs:history", slug=job.slug)
    except ValidationError as error:
        messages.error(request, f"Not restored: {summarize_fields(collect_field_errors(error))}")
        return redirect("jobs:history", slug=job.slug)
    if restored.revision == job.revision:
        messages.info(request, f"Revision {number} has the same settings as the newest: nothing was changed.")
    else:
        messages.success(request, f"Revision {number} is restored as revision {restored.revision}.")
    return redirect("jobs:history", slug=restored.slug)


def _parse_number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else None


def _compare(request: HttpRequest, job: Job) -> Comparison | None:
    """Of the revisions `before` and `after` of the query; None without both, 404 for one that the job does not have."""
    numbers = _parse_number(request.GET.get("before")), _parse_number(request.GET.get("after"))
    if numbers[0] is None or numbers[1] is None:
        return None
    try:
        before, after = find_revision(job, numbers[0]), find_revision(job, numbers[1])
    except ApiError as error:
        raise Http404(error.message) from error
    with_values = can(get_current_user(request), Permission.EDIT, job)
    changes = [_describe_change(change, with_values=with_values) for change in list_changes(before, after)]
    diff = diff_scripts(before.script.text, after.script.text, str(before), str(after)).split("\n")[2:]
    lines = [DiffLine(_KINDS.get(line[:1], "same"), escape_hidden(line)) for line in diff if line]
    return Comparison(before, after, changes, lines)


def _describe_change(change: Change, *, with_values: bool) -> tuple[str, str, str]:
    before, after = (_hide_values(change, value, with_values=with_values) for value in (change.before, change.after))
    return name_setting(change.field), _shorten(format_exact(before)), _shorten(format_exact(after))


def _hide_values(change: Change, value: Any, *, with_values: bool) -> Any:
    # Of environment variables, only the names, as in the API
    return value if with_values or change.field != "env" else sorted(value)


def _shorten(text: str) -> str:
    shown = text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}… ({len(text):,} characters)"
    return escape_hidden(shown)
