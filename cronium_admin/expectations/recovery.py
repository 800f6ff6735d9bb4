"""Closes the incidents that a run has fulfilled."""

from typing import Any

from django.db.models import Q

from cronium_admin.core.edit_versions import format_utc
from cronium_admin.core.templatetags.ui import format_seconds
from cronium_admin.expectations.incidents import close_incident
from cronium_admin.expectations.models import OPEN, Closing, Incident, Kind, Watch
from cronium_admin.expectations.moment import Moment
from cronium_admin.expectations.overdue import LONGEST_RUN, OVERLAP
from cronium_admin.expectations.watches import compute_success_due
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.triggers import Trigger

_RUN_COLUMNS = ("number", "status", "started_at", "finished_at", "job_id")


def close_fulfilled(moment: Moment) -> None:
    names = [field.attname for field in Incident._meta.concrete_fields]
    rows = Incident.objects.filter(OPEN, job__isnull=False).select_related("run").order_by("pk")
    for incident in rows.only(*names, *(f"run__{name}" for name in _RUN_COLUMNS)):
        if incident.kind == Kind.SUCCEED_EVERY:
            _close_by_success(incident, moment)
        elif incident.run is not None:
            _close_by_its_run(incident, incident.run)
        else:
            _close_by_next_run(incident)


def _close_by_its_run(incident: Incident, run: Run) -> None:
    at = run.started_at if incident.kind == Kind.START_BY else run.finished_at
    if at is not None:
        _close_by(incident, run, at)
    elif run.finished_at is not None:
        word = run.get_status_display().lower()
        text = f"Run #{run.number} ended without a start ({word}), at {format_utc(run.finished_at)}."
        close_incident(incident.pk, Closing.ENDED, text, run.pk)


def _close_by_next_run(incident: Incident) -> None:
    """No run was launched for the planned time: the next run that starts, or ends, takes its place."""
    column = "started_at" if incident.kind == Kind.START_BY else "finished_at"
    rows = Run.objects.filter(~Q(trigger=Trigger.TRY), job=incident.job_id, created_at__gte=incident.expected_from)
    is_after = Q(**{f"{column}__gte": incident.opened_at}) | Q(
        **{f"{column}__isnull": False, "scheduled_for": incident.expected_from}
    )
    run = rows.filter(is_after).order_by(column).only("pk", *_RUN_COLUMNS).first()
    if run is not None:
        _close_by(incident, run, getattr(run, column))


def _close_by(incident: Incident, run: Run, at: Any) -> None:
    word = "started" if incident.kind == Kind.START_BY else f"ended ({run.get_status_display().lower()})"
    late = max(0, int((at - incident.due_at).total_seconds()))
    text = f"Run #{run.number} {word} at {format_utc(at)}, {format_seconds(late)} after the deadline."
    close_incident(incident.pk, Closing.FULFILLED, text, run.pk)


def _close_by_success(incident: Incident, moment: Moment) -> None:
    since = max(incident.expected_from, min(moment.previous, incident.opened_at) - OVERLAP)
    rows = Run.objects.filter(
        ~Q(trigger=Trigger.TRY),
        job=incident.job_id,
        status=Status.SUCCEEDED,
        finished_at__isnull=False,
        finished_at__gt=since,
        created_at__gte=since - LONGEST_RUN,
    )
    run = rows.order_by("finished_at").only("pk", *_RUN_COLUMNS).first()
    if run is None or run.finished_at is None:
        return
    text = f"Run #{run.number} succeeded at {format_utc(run.finished_at)}."
    if not close_incident(incident.pk, Closing.FULFILLED, text, run.pk):
        return
    for watch in Watch.objects.filter(job=incident.job_id, success_base_at__lt=run.finished_at):
        due = compute_success_due(run.finished_at, watch.succeed_every, watch.succeed_grace)
        Watch.objects.filter(pk=watch.pk, success_base_at=watch.success_base_at).update(
            success_base_at=run.finished_at, success_due_at=due
        )
