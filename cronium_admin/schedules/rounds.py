"""Fires due schedules in rounds, so that a thousand that are due at midnight delay no later one by a second."""

import logging
import time
from datetime import timedelta
from math import inf

from django.db.models import Case, F, QuerySet, When

from cron_rules.errors import RuleError
from cronium_admin.core.database.clock import Now
from cronium_admin.core.database.outage import find_outage
from cronium_admin.schedules.firing import AlreadyDecided, Tick, fire_schedule
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.rules import to_datetime

log = logging.getLogger("cronium.schedules")
BATCH = 200
NEW_SECONDS = 0.4  # of a round, for the schedules that became due since the last one
OLD_SECONDS = 0.2  # for the others, so that they are fired whatever comes
# By the time since the last decision: every few seconds, every minute, or less often.
_PERIOD = Case(
    When(due_at__lte=F("cursor_at") + timedelta(seconds=5), then=0),
    When(due_at__lte=F("cursor_at") + timedelta(seconds=90), then=1),
    default=2,
)


def fire_due(tick: Tick, limit: int = BATCH) -> int:
    """Fires the schedules that are due, the longest due first. Returns how many it handled: `limit` if there are more.

    An error of one schedule is stored in its row and stops no other. A failure of the database is raised.
    """
    ids = list(_select_due()[:limit])
    _fire(ids, tick, inf)
    return len(ids)


def fire_round(tick: Tick, seen: int) -> bool:
    """Fires what became due after `seen`, the time of the last round, and then what was due before.

    Each for a part of a second. False if nothing is left.
    """
    is_left = False
    for rows, seconds in (
        (_select_due().filter(due_at__gt=to_datetime(seen)), NEW_SECONDS),
        (_select_due().filter(due_at__lte=to_datetime(seen)), OLD_SECONDS),
    ):
        ids = list(rows[:BATCH])
        is_left |= _fire(ids, tick, seconds) < len(ids) or len(ids) == BATCH
    return is_left


def _select_due() -> "QuerySet[Schedule, int]":
    # Of those that are due at the same time, the frequent ones come first, because their next times wait for them. Then
    # the important ones: a host takes runs while others are launched.
    due = Schedule.objects.filter(enabled=True, due_at__lte=Now()).order_by("due_at", _PERIOD, "-job__priority", "pk")
    return due.values_list("pk", flat=True)


def _fire(ids: list[int], tick: Tick, seconds: float) -> int:
    """At least one, then until the time is over. Returns how many."""
    end = time.monotonic() + seconds
    for number, pk in enumerate(ids):
        if number and time.monotonic() > end:
            return number
        try:
            fire_schedule(pk, tick)
        except AlreadyDecided:
            continue
        except RuleError as error:  # such as a calendar whose holidays are not installed
            log.warning("the schedule %s can't run: %s", pk, error)
            _put_off(pk, error)
        except Exception as error:
            if find_outage(error):
                raise
            log.exception("the schedule %s failed", pk)
            _put_off(pk, error)
    return len(ids)


def _put_off(pk: int, error: Exception) -> None:
    # The cursor stays: nothing is lost. The next attempt comes after a minute.
    text = f"Its times could not be computed: {error}"[:500]
    Schedule.objects.filter(pk=pk).update(problem=text, due_at=Now() + timedelta(minutes=1))
