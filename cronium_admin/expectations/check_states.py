"""What a ping, or the lack of one, makes of a check. Changes the row in memory only."""

from datetime import UTC, datetime, timedelta

from cron_rules.errors import RuleError
from cron_rules.evaluate import find_next
from cron_rules.rules import StartRule
from cronium_admin.expectations.check_models import Check, PingKind, Rhythm, Status
from cronium_admin.schedules.rules import RuleFields, build_rule


def find_expected(check: Check, after: datetime) -> datetime | None:
    """When the next ping should come after one at `after`. None: the rule has no further time. Raises RuleError."""
    if check.rhythm == Rhythm.PERIOD:
        return after + timedelta(seconds=check.period_seconds or 0)
    rule = build_rule(RuleFields(kind="cron", rule=check.rule, timezone=check.timezone, seed=f"check:{check.pk}"))
    if isinstance(rule, StartRule):
        raise RuleError("rule", "@reboot has no times, so a check can't use it.")
    instant = find_next(rule, int(after.timestamp()))
    return None if instant is None else datetime.fromtimestamp(instant, UTC)


def apply_ping(check: Check, kind: PingKind, at: datetime) -> None:
    """`log` changes nothing. A start has to be followed by its end within the grace."""
    check.last_ping_at = at
    if kind == PingKind.START:
        check.started_at = at
    elif kind == PingKind.SUCCESS:
        check.status, check.last_success_at, check.started_at = Status.UP, at, None
    elif kind == PingKind.FAIL:
        check.status, check.started_at = Status.DOWN, None
    set_deadline(check)


def set_deadline(check: Check) -> None:
    """Computes `expected_at` and `due_at` from the last success and the last start."""
    check.expected_at = check.due_at = None
    if not check.enabled or check.status == Status.DOWN:
        return
    if check.status == Status.UP and check.last_success_at is not None:
        try:
            check.expected_at = find_expected(check, check.last_success_at)
        except RuleError:  # a rule that another version of Cronium stored
            check.expected_at = None
    begins = [at for at in (check.expected_at, check.started_at) if at is not None]
    if begins:
        check.due_at = min(begins) + timedelta(seconds=check.grace_seconds)
