"""Fires a due schedule: launches its runs, and writes the ledger.

Correct in any number of processes: the ledger's unique constraints and the conditional update of the cursor allow each
nominal time once. Locks only save work. The clock is the database's.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.downtime import record_look
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.concurrency import WhenFull
from cronium_admin.runs.attempt_ends import end_superseded_attempt
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import Origin, launch
from cronium_admin.runs.models import LIVE, Run, Status
from cronium_admin.runs.overrides import NO_OVERRIDES, Overrides
from cronium_admin.runs.row_locks import lock_job, lock_runs
from cronium_admin.runs.triggers import Trigger
from cronium_admin.schedules.decisions import DOWNTIME_SECONDS, Decision, Downtime, decide_due, format_minute
from cronium_admin.schedules.ledger import extend_row, find_label, record_gaps, write_row
from cronium_admin.schedules.models import ActsAs, Heartbeat, Overlap, Schedule, State
from cronium_admin.schedules.rules import build_plan, set_next, to_datetime, to_instant

MAX_QUEUED = 100  # runs of one schedule with the overlap policy queue_all


class AlreadyDecided(Exception):
    """Another process decided these times in the meantime."""


class _AttemptStarted(Exception):
    """A waiting attempt was claimed at this moment, so the overlap policy allows no run."""


@dataclass(frozen=True)
class Tick:
    """One search for due schedules: its time, and the last downtime before it."""

    now: int
    downtime: Downtime | None


def record_tick() -> Tick:
    """Records that a process looks for due schedules now. Finds the last downtime of all processes."""
    if not record_look(Heartbeat.objects.filter(pk=1), "ticked_at", timedelta(seconds=DOWNTIME_SECONDS)):
        Heartbeat.objects.bulk_create([Heartbeat(pk=1, ticked_at=database_now())], ignore_conflicts=True)
    row = Heartbeat.objects.get(pk=1)
    return Tick(to_instant(row.ticked_at), _find_downtime(row))


def read_tick() -> Tick:
    """The same without a record, for a process that decides the times of one schedule."""
    now = to_instant(database_now())
    row = Heartbeat.objects.filter(pk=1).first()
    if row is None:
        return Tick(now, None)
    is_down = to_instant(row.ticked_at) < now - DOWNTIME_SECONDS
    return Tick(now, Downtime(to_instant(row.ticked_at), now) if is_down else _find_downtime(row))


def _find_downtime(row: Heartbeat) -> Downtime | None:
    if row.down_from is None or row.down_until is None:
        return None
    return Downtime(to_instant(row.down_from), to_instant(row.down_until))


def fire_schedule(pk: int, tick: Tick) -> None:
    """Decides all due times of one schedule in one transaction. Raises AlreadyDecided."""
    with transaction.atomic():
        rows = Schedule.objects.select_for_update(skip_locked=True, of=("self",)).select_related(
            "owner", "job__profile"
        )
        schedule = rows.filter(pk=pk, enabled=True).first()
        if schedule is None:
            raise AlreadyDecided
        settle_due(schedule, tick)


def settle_due(schedule: Schedule, tick: Tick) -> None:
    """The same for a row that the caller has locked. The schedule's row is current afterwards."""
    plan = build_plan(schedule)
    start, read = to_instant(schedule.cursor_at), schedule.cursor_at
    problem = schedule.problem
    outcome = decide_due(schedule, plan, tick.now, tick.downtime)
    caught_up: set[UUID] = set()
    try:
        for decision in outcome.decisions:
            problem = _execute_decision(schedule, decision, find_label(plan.rule, decision), caught_up)
        record_gaps(schedule, plan.rule, start, outcome.end)
    except IntegrityError as error:  # another process has written one of these rows of the ledger
        raise AlreadyDecided(str(schedule)) from error
    schedule.cursor_at = max(read, to_datetime(outcome.end))
    set_next(schedule, plan)
    values = {
        "cursor_at": schedule.cursor_at,
        "next_at": schedule.next_at,
        "due_at": schedule.due_at,
        "computed_for": schedule.computed_for,
        "problem": problem,
    }
    if not Schedule.objects.filter(pk=schedule.pk, cursor_at=read).update(**values):
        raise AlreadyDecided


def _execute_decision(schedule: Schedule, decision: Decision, label: str | None, caught_up: set[UUID]) -> str:
    """Launches the run of a decision, if it has one, and writes its row. Returns the problem of the schedule.

    `caught_up`: the runs for missed times of this moment. They wait for each other, whatever the overlap policy is.
    """
    if _is_decided(schedule, decision, label):
        return schedule.problem
    if not decision.launches:
        if not extend_row(schedule, decision):
            write_row(schedule, decision, label)
        return schedule.problem
    if not schedule.job.enabled:
        write_row(schedule, replace(decision, state=State.DISABLED, reason="The job is disabled", late_by=None), label)
        return schedule.problem
    live = [] if schedule.overlap == Overlap.ALLOW else list_live_runs(schedule)
    if _may_cancel(schedule, live):
        _lock_live_runs(schedule)
        live = list_live_runs(schedule)
    yielding = [run for run in live if _can_be_superseded(schedule, run)]
    live = [run for run in live if run not in yielding]
    is_catch_up = decision.state == State.CAUGHT_UP
    blocking = [run for run in live if run.pk not in caught_up] if is_catch_up else live
    if refusal := _find_overlap(schedule, blocking):
        return _write_overlap(schedule, decision, label, refusal)
    try:
        with transaction.atomic():
            _end_superseded_attempts(schedule, decision, yielding)
            run = _launch(schedule, decision, blocking, must_wait=bool(live))
    except _AttemptStarted as error:
        return _write_overlap(schedule, decision, label, str(error))
    except (ApiError, ValidationError) as error:
        text = error.message if isinstance(error, ApiError) else " ".join(error.messages)
        write_row(schedule, replace(decision, state=State.NOT_READY, reason=text[:300], late_by=None), label)
        return text[:500]
    except IntegrityError as error:  # no row of the ledger, so it is not a sign of another process
        raise RuntimeError(f"The run could not be stored: {error}") from error
    if not run.is_live:  # the job's limit allowed no further run
        decision = replace(decision, state=State.OVERLAPPED, reason=run.message[:300], late_by=None)
    elif is_catch_up:
        caught_up.add(run.pk)
    write_row(schedule, decision, label, run)
    return ""


def _write_overlap(schedule: Schedule, decision: Decision, label: str | None, reason: str) -> str:
    write_row(schedule, replace(decision, state=State.OVERLAPPED, reason=reason, late_by=None), label)
    return schedule.problem


def _may_cancel(schedule: Schedule, live: list[Run]) -> bool:
    return bool(live) and (
        schedule.overlap == Overlap.CANCEL_RUNNING or any(_can_be_superseded(schedule, run) for run in live)
    )


def _lock_live_runs(schedule: Schedule) -> None:
    """Those that this decision and its launch may cancel."""
    lock_job(schedule.job_id)
    runs = Run.objects.filter(status__in=LIVE)
    is_full_job = (schedule.job.concurrency or {}).get("when_full") == WhenFull.CANCEL_OLDEST
    lock_runs(runs.filter(job=schedule.job_id) if is_full_job else runs.filter(caused_by=f"schedule:{schedule.pk}"))


def _can_be_superseded(schedule: Schedule, run: Run) -> bool:
    """Whether the attempt waits, and gives way to the next time. With the policy queue_all it keeps its turn."""
    is_waiting_attempt = run.attempt > 1 and run.status == Status.QUEUED
    return is_waiting_attempt and schedule.overlap != Overlap.QUEUE_ALL


def _end_superseded_attempts(schedule: Schedule, decision: Decision, attempts: list[Run]) -> None:
    for run in attempts:
        by = f"the schedule {schedule.name}"
        cause = f"The next time of {by}, {format_minute(decision.nominal, schedule.timezone)}, came"
        if end_superseded_attempt(run, cause, by):
            continue
        run.refresh_from_db()
        if run.is_live and schedule.overlap == Overlap.CANCEL_RUNNING:
            _cancel_all(schedule, [run])
        elif run.is_live and schedule.overlap == Overlap.SKIP:
            raise _AttemptStarted(f"The run #{run.number} had just started")


def _is_decided(schedule: Schedule, decision: Decision, label: str | None) -> bool:
    """The clock of the database went back, or new zone data moved a time of day that was decided before."""
    known = Q(nominal_at=to_datetime(decision.nominal)) & ~Q(state=State.GAP)
    if label:
        known |= Q(rule_number=schedule.rule_number, label=label)
    return schedule.occurrences.filter(known).exists()


def build_overrides(schedule: Schedule) -> Overrides:
    return NO_OVERRIDES if schedule.input is None else Overrides(input=schedule.input)


def _launch(schedule: Schedule, decision: Decision, blocking: list[Run], *, must_wait: bool) -> Run:
    if schedule.overlap == Overlap.CANCEL_RUNNING:
        _cancel_all(schedule, blocking)
    is_catch_up = decision.state == State.CAUGHT_UP
    origin = Origin(
        trigger=Trigger.CATCH_UP if is_catch_up else Trigger.SCHEDULE,
        caused_by=f"schedule:{schedule.pk}",
        text=f"the schedule {schedule.name}",
        scheduled_for=to_datetime(decision.nominal),
        serial_key=None if schedule.overlap == Overlap.ALLOW else f"schedule:{schedule.pk}",
        must_wait=must_wait,
    )
    return launch(schedule.job, _choose_actor(schedule), build_overrides(schedule), origin=origin)


def _cancel_all(schedule: Schedule, live: list[Run]) -> None:
    for run in live:
        with suppress(ApiError):  # it has ended in the meantime
            cancel(run, None, f"the schedule {schedule.name}")


def _choose_actor(schedule: Schedule) -> User | None:
    """The user who launches; None: the project does. Raises ApiError if the owner can't launch the job."""
    if schedule.acts_as == ActsAs.PROJECT:
        return None
    owner = schedule.owner
    mend = "Choose another owner, or let the project run it."
    if owner is None:
        raise ApiError(409, "no_owner", f"The owner of the schedule was deleted. {mend}")
    if not owner.is_active:
        raise ApiError(409, "no_owner", f"The owner of the schedule, {owner.get_username()}, is switched off. {mend}")
    if not can(owner, Permission.RUN, schedule.job):
        text = f"The owner of the schedule, {owner.get_username()}, may not run this job any more."
        raise ApiError(409, "no_owner", f"{text} {mend}")
    return owner


def list_live_runs(schedule: Schedule) -> list[Run]:
    """Oldest first, with the attempts after failed runs."""
    rows = Run.objects.filter(caused_by=f"schedule:{schedule.pk}", status__in=LIVE)
    return list(rows.order_by("created_at", "pk"))


def _find_overlap(schedule: Schedule, live: list[Run]) -> str:
    """Why the overlap policy allows no run; empty if it does."""
    if not live:
        return ""
    if schedule.overlap == Overlap.SKIP:
        return f"The run #{live[0].number} was {live[0].get_status_display().lower()}"
    waiting = [run for run in live if run.status == Status.QUEUED]
    if schedule.overlap == Overlap.QUEUE_ONE and waiting:
        return f"The run #{waiting[0].number} was waiting already"
    if schedule.overlap == Overlap.QUEUE_ALL and len(waiting) >= MAX_QUEUED:
        return f"{MAX_QUEUED} runs were waiting already"
    return ""
