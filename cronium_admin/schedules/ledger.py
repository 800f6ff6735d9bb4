"""Writes the rows of the ledger."""

from datetime import timedelta

from cron_rules.evaluate import Occurrence as NotedTime
from cron_rules.evaluate import list_noted
from cron_rules.rules import ClockRule, Rule
from cronium_admin.runs.models import Run
from cronium_admin.schedules.decisions import Decision
from cronium_admin.schedules.models import Occurrence, Schedule, State
from cronium_admin.schedules.notes import describe_label, describe_note, format_full_label
from cronium_admin.schedules.rules import to_datetime, to_instant

MAX_GAP_ROWS = 100  # more labels of one gap share a row


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
    """Writes a row for each label that doesn't exist, because the clock goes forward. Very many share a row."""
    skipped = [found for found in list_noted(rule, after + 1, now + 1) if not found.runs]
    labels = {
        format_full_label(found.labels[0]): found
        for found in _drop_covered(schedule, skipped)
        if _is_within(schedule, found.at)
    }
    if not labels:
        return
    # Other zone data had the label, or the clock of the database went back.
    known = schedule.occurrences.filter(
        rule_number=schedule.rule_number, label__gte=min(labels), label__lte=max(labels)
    )
    for label in known.values_list("label", flat=True):
        labels.pop(label or "", None)
    if len(labels) <= MAX_GAP_ROWS:
        Occurrence.objects.bulk_create(_make_gap_row(schedule, label, [found]) for label, found in labels.items())
    else:
        _make_gap_row(schedule, min(labels), list(labels.values())).save()


def _drop_covered(schedule: Schedule, skipped: list[NotedTime]) -> list[NotedTime]:
    """Those without a row that several share."""
    if not skipped:
        return []
    first, last = to_datetime(skipped[0].at), to_datetime(skipped[-1].at)
    shared = schedule.occurrences.filter(rule_number=schedule.rule_number, state=State.GAP, count__gt=1)
    shared = shared.filter(nominal_at__lte=last, last_nominal_at__gte=first)
    spans = [(to_instant(start), to_instant(end)) for start, end in shared.values_list("nominal_at", "last_nominal_at")]
    return [found for found in skipped if not any(start <= found.at <= end for start, end in spans)]


def _make_gap_row(schedule: Schedule, label: str, skipped: list[NotedTime]) -> Occurrence:
    count = len(skipped)
    reason = describe_note(skipped[0])
    if count > 1:
        reason = f"{reason}; and {count - 1:,} more times up to {describe_label(skipped[-1])}"
    return Occurrence(
        schedule=schedule,
        nominal_at=to_datetime(skipped[0].at),
        last_nominal_at=to_datetime(skipped[-1].at),
        label=label,
        rule_number=schedule.rule_number,
        state=State.GAP,
        reason=reason,
        count=count,
    )


def _is_within(schedule: Schedule, instant: int) -> bool:
    starts, ends = schedule.starts_at, schedule.ends_at
    return not ((starts and instant < to_instant(starts)) or (ends and instant > to_instant(ends)))
