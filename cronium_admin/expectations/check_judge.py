"""Finds the checks whose ping did not come in time."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Min

from cronium_admin.core.edit_versions import format_utc
from cronium_admin.core.templatetags.ui import format_seconds
from cronium_admin.expectations.check_models import Check, Status
from cronium_admin.expectations.incidents import open_incident
from cronium_admin.expectations.models import Incident, Kind
from cronium_admin.expectations.moment import Moment

BATCH = 500


def judge_checks(moment: Moment) -> datetime | None:
    """Opens an incident for each check that is due; returns the next deadline."""
    waiting = Check.objects.filter(enabled=True, due_at__isnull=False)
    for check in waiting.filter(due_at__lte=moment.now).order_by("due_at")[:BATCH]:
        _judge_check(check, moment)
    following: datetime | None = waiting.filter(due_at__gt=moment.now).aggregate(at=Min("due_at"))["at"]
    return following


def _judge_check(check: Check, moment: Moment) -> None:
    """While Cronium was down it received no pings: the check gets its grace again."""
    assert check.due_at is not None
    begin = check.due_at - timedelta(seconds=check.grace_seconds)
    unchanged = Check.objects.filter(pk=check.pk, enabled=True, due_at=check.due_at, ping_count=check.ping_count)
    if moment.down and moment.down[1] > begin:
        due_at = moment.down[1] + timedelta(seconds=check.grace_seconds)
        if due_at > moment.now:
            unchanged.update(due_at=due_at)
            return
    expected = begin if check.expected_at is None else min(begin, check.expected_at)
    with transaction.atomic():
        if not unchanged.update(status=Status.DOWN, expected_at=None, due_at=None):
            return  # a ping came at this moment
        open_incident(
            Incident(
                project_id=check.project_id,
                of_check=check,
                kind=Kind.PING,
                expected_from=expected,
                due_at=check.due_at,
                reason=f"{_describe(check, expected)}{moment.explain_absence(expected)}"[:500],
            )
        )


def _describe(check: Check, expected: datetime) -> str:
    grace = format_seconds(check.grace_seconds)
    if check.started_at is not None and check.started_at <= expected:
        return f"The ping at {format_utc(check.started_at)} reported a start, and no end followed within {grace}."
    last = format_utc(check.last_ping_at) if check.last_ping_at else "the creation of the check"
    return f"No success since {last}. It was expected at {format_utc(expected)}, with a grace of {grace}."
