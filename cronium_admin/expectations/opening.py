"""Opens the incidents of what is late, with the reason in words."""

from collections.abc import Iterable, Sequence

from cronium_admin.core.edit_versions import format_utc
from cronium_admin.core.templatetags.ui import format_seconds
from cronium_admin.expectations.incidents import open_incident
from cronium_admin.expectations.models import OPEN, Incident, Kind, Watch
from cronium_admin.expectations.moment import Moment
from cronium_admin.expectations.overdue import Overdue, list_live_runs
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import Schedule

BATCH = 500
_VERBS = {Kind.START_BY: ("start", "started"), Kind.FINISH_BY: ("end", "ended")}


def open_overdue(overdue: Iterable[Overdue], moment: Moment) -> None:
    """The longest overdue of a job and kind becomes its incident. A deadline that had one gets no second."""
    overdue = sorted(overdue, key=lambda each: each.due_at)
    for first in range(0, len(overdue), BATCH):
        batch = overdue[first : first + BATCH]
        known = _find_known(batch)
        for each in batch:
            key = (each.job_id, each.kind.value)
            if key in known or (*key, each.due_at) in known:
                continue
            if (incident := _make_incident(each, moment)) is not None and open_incident(incident):
                known.add(key)


def _find_known(overdue: Sequence[Overdue]) -> set[tuple[object, ...]]:
    """Job and kind of the open incidents; job, kind and deadline of all incidents with these deadlines."""
    rows = Incident.objects.filter(job__in={each.job_id for each in overdue}).order_by()
    known: set[tuple[object, ...]] = set(rows.filter(OPEN).values_list("job_id", "kind"))
    deadlines = {each.due_at for each in overdue}
    return known | set(rows.filter(due_at__in=deadlines).values_list("job_id", "kind", "due_at"))


def _make_incident(overdue: Overdue, moment: Moment) -> Incident | None:
    """None if the job or the late run is gone by now."""
    job = Job.objects.filter(pk=overdue.job_id).only("pk", "project_id").first()
    if job is None:
        return None
    incident = Incident(
        project_id=job.project_id,
        job=job,
        kind=overdue.kind,
        expected_from=overdue.expected_from,
        due_at=overdue.due_at,
    )
    if overdue.kind == Kind.SUCCEED_EVERY:
        text = _describe_success(overdue)
    elif overdue.schedule_id is not None:
        text = _describe_planned(overdue, incident)
    else:
        run = _find_run(overdue, moment)
        if run is None:
            return None
        incident.run = run
        text = _describe_run(overdue, run)
    of_schedules = overdue.schedule_id is not None
    incident.reason = f"{text}{moment.explain_absence(overdue.expected_from, of_schedules=of_schedules)}"[:500]
    return incident


def _find_run(overdue: Overdue, moment: Moment) -> Run | None:
    if overdue.run_id is not None:
        return Run.objects.filter(pk=overdue.run_id).first()
    rows = list_live_runs(moment).filter(job=overdue.job_id)
    if overdue.kind == Kind.START_BY:
        rows = rows.filter(started_at__isnull=True)
    return rows.order_by("base", "created_at", "pk").first()


def _describe_run(overdue: Overdue, run: Run) -> str:
    infinitive, participle = _VERBS[overdue.kind]
    at = run.started_at if overdue.kind == Kind.START_BY else run.finished_at
    origin = (
        f"was planned for {format_utc(run.scheduled_for)}"
        if run.scheduled_for
        else f"was launched at {format_utc(run.created_at)}"
    )
    rule = f"It {origin} and had to {infinitive} within {format_seconds(overdue.limit)}."
    if at is not None:
        return f"Run #{run.number} {participle} too late, at {format_utc(at)}. {rule}"
    return f"Run #{run.number} has not {participle}. {rule}"


def _describe_planned(overdue: Overdue, incident: Incident) -> str:
    schedule = Schedule.objects.filter(pk=overdue.schedule_id).first() if overdue.schedule_id else None
    incident.schedule = schedule
    name = f"The schedule {schedule.name}" if schedule else "A schedule"
    planned = format_utc(overdue.expected_from)
    if overdue.reason:
        return f"{name} launched no run for {planned}: {overdue.reason.rstrip('.')}."
    infinitive, _ = _VERBS[overdue.kind]
    problem = f" {schedule.problem}" if schedule and schedule.problem else ""
    rule = f"A run had to {infinitive} within {format_seconds(overdue.limit)}."
    return f"{name} has launched no run for {planned}. {rule}{problem}"


def _describe_success(overdue: Overdue) -> str:
    watch = Watch.objects.filter(pk=overdue.job_id).first()
    every = watch.succeed_every if watch and watch.succeed_every else overdue.limit
    grace = f", with a grace of {format_seconds(overdue.limit - every)}" if overdue.limit > every else ""
    return (
        f"No run has succeeded since {format_utc(overdue.expected_from)}. "
        f"A success is expected every {format_seconds(every)}{grace}."
    )
