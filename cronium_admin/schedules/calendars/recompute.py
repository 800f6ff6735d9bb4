"""What a change of a calendar does to its schedules: nothing of the past runs, and their next times are computed again.

A time of a closed day that waits for the next open day keeps waiting, if it still moves to a later time.
"""

from dataclasses import dataclass

from cron_rules.errors import RuleError
from cronium_admin.schedules.decisions import list_waiting
from cronium_admin.schedules.firing import Tick, read_tick
from cronium_admin.schedules.ledger import record_gaps
from cronium_admin.schedules.models import Calendar, Schedule
from cronium_admin.schedules.rules import build_plan, set_next, to_datetime, to_instant
from cronium_admin.schedules.service import record_waiting, settle_before_change

_REASON = "It waited to start when the calendar {} was changed"


@dataclass(frozen=True)
class SettledSchedule:
    """`waiting`: the nominal times that have passed and are not decided yet."""

    schedule: Schedule
    waiting: list[int]


def settle_schedules(calendar: Calendar) -> tuple[list[SettledSchedule], Tick]:
    """Locks the enabled schedules and decides what is due, by the calendar as it was. All are locked before the first
    is decided, because a decision locks its job."""
    rows = Schedule.objects.select_related("owner", "job__profile").select_for_update(of=("self",))
    schedules = list(rows.filter(calendar=calendar, enabled=True).order_by("pk"))
    tick = read_tick()
    found = []
    for schedule in schedules:
        schedule.calendar = calendar
        is_later = schedule.due_at is not None and to_instant(schedule.due_at) > tick.now
        passes = is_later and not schedule.jitter_seconds
        waiting = _pass_time(schedule, tick) if passes else settle_before_change(schedule, tick)
        found.append(SettledSchedule(schedule, waiting))
    return found, tick


def _pass_time(schedule: Schedule, tick: Tick) -> list[int]:
    """As `settle_before_change`, for a schedule with nothing to decide, at a fraction of the cost."""
    try:
        plan = build_plan(schedule)
    except RuleError:
        return []
    waiting = list_waiting(schedule, plan, tick.now)
    record_gaps(schedule, plan.rule, to_instant(schedule.cursor_at), tick.now)
    schedule.cursor_at = max(schedule.cursor_at, to_datetime(tick.now))
    return waiting


def update_schedule_times(settled: SettledSchedule, calendar: Calendar, tick: Tick) -> None:
    """Writes the columns that follow from the changed calendar."""
    schedule, waiting = settled.schedule, settled.waiting
    schedule.calendar = calendar
    bound = min(waiting) - 1 if waiting else max(tick.now, to_instant(schedule.cursor_at))
    schedule.planned_after = to_datetime(bound)
    problem = schedule.problem
    try:
        plan = build_plan(schedule)
        set_next(schedule, plan)
    except RuleError as error:
        problem, schedule.next_at, schedule.due_at, schedule.computed_for = str(error)[:500], None, None, ""
    else:
        remaining = {*list_waiting(schedule, plan, tick.now)}
        lost = [nominal for nominal in waiting if nominal not in remaining]
        record_waiting(schedule, lost, _REASON.format(calendar.name))
    Schedule.objects.filter(pk=schedule.pk).update(
        cursor_at=schedule.cursor_at,
        planned_after=schedule.planned_after,
        next_at=schedule.next_at,
        due_at=schedule.due_at,
        computed_for=schedule.computed_for,
        problem=problem,
    )
