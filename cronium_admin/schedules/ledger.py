"""Writes the rows of the ledger."""

from datetime import timedelta

from cron_rules.evaluate import list_noted
from cron_rules.rules import ClockRule, Rule
from cronium_admin.runs.models import Run
from cronium_admin.schedules.decisions import Decision
from cronium_admin.schedules.models import Occurrence, Schedule, State
from cronium_admin.schedules.notes import describe_note, format_full_label
from cronium_admin.schedules.rules import to_datetime, to_instant


def write_row(schedule: Schedule, decision: Decision, label: str | None, run: Run | None = None) -> None:
    Occurrence.objects.create(
        schedule=schedule,
        nominal_at=to_datetime(decision.nominal),
        last_nominal_at=to_datetime(decision.end),
        label=label,
        rule_number=schedule.rule_number,
        state=decision.state,
        reason=decision.reason,
        run=run,
        count=decision.count,
        late_by_seconds=decision.late_by,
    )


def extend_row(schedule: Schedule, decision: Decision) -> bool:
    """Counts times of one blackout in one row, up to a day."""
    if decision.state != State.BLACKOUT or not decision.joins:
        return False
    first, last = to_datetime(decision.nominal), to_datetime(decision.end)
    day = timedelta(days=1)
    rows = schedule.occurrences.filter(nominal_at__gt=last - day).exclude(state=State.GAP).order_by("-nominal_at")
    row = rows.first()
    same = rows.filter(state=State.BLACKOUT, reason=decision.reason, rule_number=schedule.rule_number)
    if row is not None and row.last_nominal_at >= first:  # the clock of the database went back
        return same.filter(nominal_at__lte=first, last_nominal_at__gte=last).exists()
    row = None if row is None else same.filter(pk=row.pk).first()
    if row is None:
        return False
    unchanged = schedule.occurrences.filter(pk=row.pk, count=row.count)
    return bool(unchanged.update(count=row.count + decision.count, last_nominal_at=last, label=None))


def find_label(rule: Rule, decision: Decision) -> str | None:
    if not isinstance(rule, ClockRule) or not rule.is_fixed or decision.count > 1:
        return None
    for found in list_noted(rule, decision.nominal, decision.nominal + 1):
        if found.runs:
            return format_full_label(found.labels[0], is_second_pass=found.is_second_pass)
    return format_full_label(decision.nominal + rule.zone.get_offset(decision.nominal))


def record_gaps(schedule: Schedule, rule: Rule, after: int, now: int) -> None:
    """Writes a row for each label that doesn't exist, because the clock goes forward."""
    for found in list_noted(rule, after + 1, now + 1):
        label = format_full_label(found.labels[0])
        if found.runs or not _is_within(schedule, found.at):
            continue
        if schedule.occurrences.filter(rule_number=schedule.rule_number, label=label).exists():
            continue  # other zone data had this time, or the clock of the database went back
        Occurrence.objects.create(
            schedule=schedule,
            nominal_at=to_datetime(found.at),
            last_nominal_at=to_datetime(found.at),
            label=label,
            rule_number=schedule.rule_number,
            state=State.GAP,
            reason=describe_note(found),
        )


def _is_within(schedule: Schedule, instant: int) -> bool:
    starts, ends = schedule.starts_at, schedule.ends_at
    return not ((starts and instant < to_instant(starts)) or (ends and instant > to_instant(ends)))
