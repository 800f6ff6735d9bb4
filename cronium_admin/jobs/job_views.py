"""The page of one job: its tabs Runs, Script, History, Settings and Use it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Substr
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.json_text import cast_to_text, format_indented, parse_stored
from cronium_admin.core.paging import Page, fetch_newest_or_first_page
from cronium_admin.images.custom_choices import find_image_problem
from cronium_admin.images.resolution import RULES, resolve_image
from cronium_admin.jobs.duration_bars import fetch_duration_bars
from cronium_admin.jobs.image_info import build_image_info
from cronium_admin.jobs.line_map import split_script
from cronium_admin.jobs.lookup import find_job
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.pins import find_pinned
from cronium_admin.jobs.recent_runs import fetch_recent_runs, find_health
from cronium_admin.jobs.revision_rows import RevisionRow, list_revision_rows
from cronium_admin.script_checks.service import find_report

RUNS_PAGE_SIZE = 25
SHOWN_VARIABLES = 8
_OUTPUT_AMONG = 50  # the last runs in which the last output is looked for
_OUTPUT_READ = 20_000  # characters of it: an output can have 5 MiB
_OUTPUT_SHOWN = 4000


@dataclass
class RunRow:
    """A run of the list; `revisions` were saved after it, so they stand above it."""

    run: Any
    revisions: list[RevisionRow] = field(default_factory=list)


@require_safe
@require_project_permission(Permission.VIEW)
def show_job(request: HttpRequest, slug: str) -> HttpResponse:
    user = get_current_user(request)
    job = find_job(user, slug)
    page = _fetch_run_page(job, request.GET.get("after", ""))
    context = {
        **build_job_context(request, job, "runs"),
        **_build_run_rows(job, page),
        **_build_uses(job),
        **_build_last_output(job),
        "durations": fetch_duration_bars(job),
        "after": request.GET.get("after", "") if not page.is_first else "",
    }
    return render(request, "jobs/job.html", context)


@require_safe
@require_project_permission(Permission.VIEW)
def render_run_rows(request: HttpRequest, slug: str) -> HttpResponse:
    job = find_job(get_current_user(request), slug, only=("pk", "slug", "revision"))
    return render(request, "jobs/_run_rows.html", {"job": job, **_build_run_rows(job, _fetch_run_page(job, ""))})


@require_safe
@never_cache
@require_project_permission(Permission.VIEW)
def render_durations(request: HttpRequest, slug: str) -> HttpResponse:
    # The chart; 204 if it is that of version `v`
    job = find_job(get_current_user(request), slug, only=("pk", "slug", "last_run_number"))
    durations = fetch_duration_bars(job)
    if durations is None or durations.version == request.GET.get("v"):
        return HttpResponse(status=204)
    return render(request, "jobs/_durations.html", {"durations": durations})


@require_safe
@require_project_permission(Permission.VIEW)
def show_script(request: HttpRequest, slug: str) -> HttpResponse:
    job = find_job(get_current_user(request), slug)
    context = build_job_context(request, job, "script")
    report = find_report(job.language, job.script)
    return render(request, "jobs/job.html", {**context, "script_lines": split_script(job.script), "report": report})


@require_safe
@require_project_permission(Permission.VIEW)
def show_settings(request: HttpRequest, slug: str) -> HttpResponse:
    job = find_job(get_current_user(request), slug)
    choice = resolve_image(job.language, job=job.image)
    context = {
        **build_job_context(request, job, "settings"),
        **build_image_info(job.project_id, job.language, job.image, job.script, job.slug),
        "image": choice,
        "image_why": RULES[choice.rule],
        "variable_count": job.variables.filter(text__isnull=False).count(),
    }
    return render(request, "jobs/job.html", context)


@require_safe
@require_project_permission(Permission.VIEW)
def show_use(request: HttpRequest, slug: str) -> HttpResponse:
    job = find_job(get_current_user(request), slug)
    context = {**build_job_context(request, job, "use"), "base_url": request.build_absolute_uri("/").rstrip("/")}
    return render(request, "jobs/job.html", context)


@require_safe
@require_project_permission(Permission.VIEW)
def redirect_to_run(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    job = find_job(get_current_user(request), slug, only=("pk",))
    return redirect("runs:run", pk=get_object_or_404(job.runs.only("pk", "job"), number=number).pk)


def build_job_context(request: HttpRequest, job: Job, tab: str) -> dict[str, Any]:
    """What the head of the page shows on each tab."""
    user = get_current_user(request)
    return {
        "job": job,
        "tab": tab,
        "recent": fetch_recent_runs([job])[job.pk],
        "can": Permissions(user, job),
        "is_pinned": bool(find_pinned(user, [job])),
        **_build_health(job),
        "image_problem": find_image_problem(job.project_id, job.language, job.image) if tab != "settings" else "",
        "nav": "jobs",
    }


def _build_health(job: Job) -> dict[str, Any]:
    """`began_with`: the revision of the first failure, if the last success had another; None: unknown."""
    health = find_health(job)
    began_with = None
    if health and health.failures and health.last_good:
        later = job.runs.filter(number__gt=health.last_good.number, finished_at=health.failing_since)
        first = later.values_list("job_revision", flat=True).first()
        began_with = first if first and first != health.last_good.job_revision else None
    has_newest_run = bool(health and health.last_run and health.last_run.job_revision == job.revision)
    return {"health": health, "began_with": began_with, "has_newest_run": has_newest_run}


def _fetch_run_page(job: Job, after: str) -> Page:
    runs: QuerySet[Any] = job.runs.select_related("created_by").defer("differs", "output", "sandbox")
    return fetch_newest_or_first_page(runs, after, RUNS_PAGE_SIZE)


def _build_run_rows(job: Job, page: Page) -> dict[str, Any]:
    runs = list(page.items)
    if not runs:
        return {"page": page, "rows": []}
    newest = job.revision if page.is_first else runs[0].job_revision
    revisions = list_revision_rows(job, runs[-1].job_revision + 1, newest)
    return {"page": page, "rows": list(_merge_rows(runs, revisions))}


def _merge_rows(runs: list[Any], revisions: list[RevisionRow]) -> Iterator[RunRow]:
    """Each revision stands above the newest run that began before it."""
    waiting = list(revisions)
    for run in runs:
        row = RunRow(run)
        while waiting and waiting[0].revision.number > run.job_revision:
            row.revisions.append(waiting.pop(0))
        yield row


def _build_uses(job: Job) -> dict[str, Any]:
    variables = list(job.variables.filter(text__isnull=False).order_by("name")[: SHOWN_VARIABLES + 1])
    return {
        "variables": variables[:SHOWN_VARIABLES],
        "has_more_variables": len(variables) > SHOWN_VARIABLES,
    }


def _build_last_output(job: Job) -> dict[str, Any]:
    """A longer output is shown as it is stored, because only its beginning is read."""
    recent = job.runs.filter(number__gt=job.last_run_number - _OUTPUT_AMONG, output_at__isnull=False)
    beginning = Substr(cast_to_text("output"), 1, _OUTPUT_READ + 1)
    run = (
        recent.annotate(beginning=beginning).only("job", "number", "output_at", "job_slug").order_by("-number").first()
    )
    if run is None:
        return {"last_output": None}
    stored = run.beginning or "null"
    if len(stored) > _OUTPUT_READ:
        text, is_cut = stored[:_OUTPUT_SHOWN], True
    else:
        text, is_cut = format_indented(parse_stored(stored), _OUTPUT_SHOWN)
    return {"last_output": run, "last_output_text": text, "is_output_cut": is_cut}
