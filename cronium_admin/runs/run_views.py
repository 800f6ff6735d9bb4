"""The page of one run: its tabs Log, Script and Details, and the parts of it that change."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import Permissions, get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import check_can
from cronium_admin.core.database.clock import database_now
from cronium_admin.images.custom import parse_engine_tag
from cronium_admin.images.resolution import RULES
from cronium_admin.jobs.line_map import split_script
from cronium_admin.runs.lookup import find_built_version
from cronium_admin.runs.models import BUILD_TRIGGER, Run
from cronium_admin.runs.presentation import output, reasons, starts
from cronium_admin.runs.presentation.attempts import Attempt, list_attempts, list_reruns
from cronium_admin.runs.presentation.failure import Failure, Newest, build_failure, find_newest
from cronium_admin.runs.presentation.log_panel import build_log_context
from cronium_admin.runs.presentation.phases import build_phases, build_trace_table
from cronium_admin.runs.presentation.since_success import SinceSuccess, compare_with_success
from cronium_admin.runs.timeline import build_timeline
from cronium_admin.runs.triggers import describe_trigger

LOG, SCRIPT, DETAILS = "log", "script", "details"
REMOVAL_WAIT = timedelta(minutes=1)  # how long after its end the page of a run waits for the last rows of its phases


@require_safe
@require_project_permission(Permission.VIEW)
def show_run(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _render_tab(request, pk, LOG)


@require_safe
@require_project_permission(Permission.VIEW)
def show_script(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _render_tab(request, pk, SCRIPT)


@require_safe
@require_project_permission(Permission.VIEW)
def show_details(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _render_tab(request, pk, DETAILS)


@require_safe
@require_project_permission(Permission.VIEW)
def render_live_parts(request: HttpRequest, pk: UUID) -> HttpResponse:
    # The parts of the run page that change, except the log. `outcome` is the browser's version of output and
    # condition; if it is current, these are not rendered. 204 if nothing has changed since version `v`.
    run = get_run(request, pk)
    tab = request.GET.get("tab", "")
    context = _build_context(request, run, tab if tab in (SCRIPT, DETAILS) else LOG)
    if request.GET.get("v") == context["version"]:
        return HttpResponse(status=204)
    context |= output.build_context(run, request.GET.get("outcome"))
    return render(request, "runs/_live.html", {**context, "oob": True})


def get_run(request: HttpRequest, pk: UUID, permission: Permission = Permission.VIEW) -> Run:
    """The run with what its page shows. Raises Http404, and PermissionDenied without `permission`."""
    user = get_current_user(request)
    related = ("job", "revision", "parent", "created_by", "cancel_requested_by", "log_head", "sandbox_table")
    long = ("output", "parent__output", "parent__differs", "job__script", "job__env", "job__input")
    run = get_object_or_404(Run.objects.visible_to(user).select_related(*related).defer(*long), pk=pk)
    check_can(user, permission, run)
    return run


def _render_tab(request: HttpRequest, pk: UUID, tab: str) -> HttpResponse:
    run = get_run(request, pk)
    context = {**_build_context(request, run, tab), **_find_neighbours(run), **output.build_context(run)}
    if tab == SCRIPT:
        failure = context["failure"]
        context |= {"script_lines": split_script(run.script), "error_line": failure.script_line if failure else None}
    return render(request, "runs/run.html", context)


def _find_neighbours(run: Run) -> dict[str, Run | None]:
    """The runs of the same job before and after this one."""
    if run.job is None:
        return {"previous": None, "next": None}
    others = run.job.runs.only("pk", "job", "number", "job_slug")
    return {
        "previous": others.filter(number__lt=run.number).order_by("-number").first(),
        "next": others.filter(number__gt=run.number).order_by("number").first(),
    }


def _build_rerun_context(run: Run) -> dict[str, Any]:
    # Whether the job has changed since; `newest` is its current revision, if the job is enabled
    is_old = run.job is not None and run.job.revision > run.job_revision
    return {"is_old": is_old, "newest": run.job.revision if is_old and run.job and run.job.enabled else None}


def _build_failure_context(run: Run) -> dict[str, Failure | SinceSuccess | Newest | None]:
    newest = find_newest(run)
    failure = build_failure(run, newest)
    good = failure.good if failure else None
    since = compare_with_success(run, good) if good else None
    return {"failure": failure, "since": since, "newest": newest}


def _build_context(request: HttpRequest, run: Run, tab: str) -> dict[str, Any]:
    now = database_now()
    steps = build_phases(run.created_at, run.claimed_at, run.started_at, run.finished_at, now)
    events = build_timeline(run) if tab == DETAILS else []
    attempts, reruns = list_attempts(run), [] if tab == SCRIPT else list(list_reruns(run))
    return {
        **build_log_context(run),
        **_build_failure_context(run),
        "tab": tab,
        "can": Permissions(get_current_user(request), run),
        "again": _build_rerun_context(run),
        "shown": "cancelling" if run.is_live and run.cancel_requested_at else run.status,
        "reason": reasons.describe_reason(run.reason),
        "start": starts.describe_start(run),
        "why_cold": starts.describe_cold_reason(run),
        "events": events,
        "phases": steps,
        "trace": build_trace_table(run.trace_offsets) if tab == DETAILS else None,
        "is_build": run.trigger == BUILD_TRIGGER,
        "trigger_words": describe_trigger(run.trigger),
        "built": find_built_version(run),
        "image_name": str(parse_engine_tag(run.image) or run.image),
        "image_why": RULES.get(run.image_rule, run.image_rule),
        "cpu_share": _compute_cpu_share(run),
        "peak_mb": run.peak_memory_bytes / 1024 / 1024 if run.peak_memory_bytes else None,
        "reruns": reruns,
        "attempts": attempts,
        "version": _digest_parts(run, len(events), attempts, reruns),
        "is_polled": tab != LOG and (run.is_live or (tab == DETAILS and _is_being_removed(run, now))),
        "nav": "runs",
    }


def _is_being_removed(run: Run, now: datetime) -> bool:
    # Not for ever: the host that has the sandbox may be gone
    if run.claimed_at is None or run.finished_at is None or run.cleaned_at is not None:
        return False
    return now - run.finished_at < REMOVAL_WAIT


def _digest_parts(run: Run, event_count: int, attempts: Sequence[Attempt], reruns: Sequence[Run]) -> str:
    # Changes with what the page shows, except ages and durations. A part that is replaced loses the focus and closes
    # its menu.
    times = (run.claimed_at, run.started_at, run.finished_at, run.cancel_requested_at, run.output_at, run.cleaned_at)
    shown: list[object] = [
        run.status,
        run.reason,
        run.message,
        *times,
        run.condition,
        run.trace,
        run.first_sent_ms,
        run.sandbox_table_id,
    ]
    shown += [event_count, *((attempt.run.pk, attempt.run.status) for attempt in attempts)]
    shown += [again.pk for again in reruns]
    shown += [run.job.revision, run.job.enabled] if run.job else []
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def _compute_cpu_share(run: Run) -> int | None:
    # Percent of its CPU limit
    if run.cpu_seconds is None or run.started_at is None or run.finished_at is None:
        return None
    seconds = (run.finished_at - run.started_at).total_seconds()
    return min(100, round(100 * run.cpu_seconds / (seconds * float(run.cpu)))) if seconds > 0 else None
