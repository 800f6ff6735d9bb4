"""Runs missed times when a user asks for it."""

from itertools import islice

from django.db import transaction
from django.db.models import QuerySet

from cron_rules.errors import RuleError
from cron_rules.evaluate import find_previous, iterate_before
from cron_rules.rules import Rule
from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ApiError
from cronium_admin.runs.launch import Origin, launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.triggers import Trigger
from cronium_admin.schedules.firing import build_overrides
from cronium_admin.schedules.models import Occurrence, Schedule, State
from cronium_admin.schedules.rules import RuleFields, build_rule, to_datetime, to_instant

RUNNABLE = (State.MISSED, State.MERGED, State.OVERLAPPED, State.NOT_READY)


def run_missed(schedule: Schedule, limit: int, by: User, among: QuerySet[Occurrence] | None = None) -> list[Run]:
    """Launches runs for the newest missed times, as `by`. Each time is run once, also by two requests at once.

    `among`: only times of these rows of the schedule. Raises ApiError 409 if there is none, and the errors of a launch.
    """
    with transaction.atomic():
        locked = Schedule.objects.select_related("job__profile").select_for_update(of=("self",))
        stored = locked.get(pk=schedule.pk)
        try:
            rule = build_rule(RuleFields.from_schedule(stored))
        except RuleError as error:
            raise ApiError(
                409, "rule_refused", f"The rule of the schedule {stored.name} can't be used: {error}"
            ) from None
        runs: list[Run] = []
        rows = stored.occurrences.filter(state__in=RUNNABLE) if among is None else among
        for row in rows.order_by("-nominal_at")[:limit]:
            chosen = _list_newest(stored, rule, row, limit - len(runs))
            runs = _run_times(stored, rule, row, chosen, by) + runs
        if not runs:
            raise ApiError(409, "nothing_missed", f"The schedule {stored.name} has no missed times.")
        return runs


def _list_newest(schedule: Schedule, rule: Rule, row: Occurrence, limit: int) -> list[int]:
    """Ascending. A row for several times of an earlier rule has none, because it can't be divided."""
    first, last = to_instant(row.nominal_at), to_instant(row.last_nominal_at)
    if limit <= 0 or (row.count > 1 and row.rule_number != schedule.rule_number):
        return []
    if row.count == 1:
        return [first]
    return [nominal for nominal in islice(iterate_before(rule, last + 1), limit) if nominal >= first][::-1]


def _run_times(schedule: Schedule, rule: Rule, row: Occurrence, chosen: list[int], by: User) -> list[Run]:
    """Launches a run for each of the newest times of a row, which keeps the older ones."""
    if not chosen:
        return []
    row.delete()
    rest = row.count - len(chosen)
    if rest > 0 and (last := find_previous(rule, chosen[0])) is not None:
        _write_row(row, to_instant(row.nominal_at), last_nominal_at=to_datetime(last), count=rest)
    return [_run_time(schedule, row, nominal, by) for nominal in chosen]


def _run_time(schedule: Schedule, row: Occurrence, nominal: int, by: User) -> Run:
    origin = Origin(
        trigger=Trigger.CATCH_UP,
        caused_by=f"schedule:{schedule.pk}",
        text=f"the schedule {schedule.name}, for a missed time,",
        scheduled_for=to_datetime(nominal),
    )
    run = launch(schedule.job, by, build_overrides(schedule), origin=origin)
    _write_row(
        row,
        nominal,
        run=run,
        state=State.CAUGHT_UP if run.is_live else State.OVERLAPPED,
        reason=(f"{row.reason}; run by {by.get_username()}" if run.is_live else run.message)[:300],
        late_by_seconds=max(0, to_instant(database_now()) - nominal),
    )
    return run


def _write_row(row: Occurrence, nominal: int, **values: object) -> None:
    kept = {"schedule_id": row.schedule_id, "rule_number": row.rule_number, "state": row.state, "reason": row.reason}
    columns = {"last_nominal_at": to_datetime(nominal), "label": row.label, **kept, **values}
    Occurrence.objects.create(nominal_at=to_datetime(nominal), **columns)
