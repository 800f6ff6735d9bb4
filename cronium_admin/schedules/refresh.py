"""Computes the next times again after the rules of time zones have changed."""

import logging

from django.db import transaction

from cron_rules.errors import RuleError
from cron_rules.zones import TZDATA_VERSION
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.rules import build_plan, set_next

log = logging.getLogger("cronium.schedules")
_BATCH = 500


def refresh_stale() -> None:
    """Computes the cached times of all schedules that have them from other zone data. Fires nothing."""
    stale = Schedule.objects.filter(enabled=True).exclude(computed_for__endswith=f":{TZDATA_VERSION}")
    last = 0
    while ids := list(stale.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:_BATCH]):
        for pk in ids:
            _refresh(pk)
        last = ids[-1]


def _refresh(pk: int) -> None:
    with transaction.atomic():
        schedule = Schedule.objects.select_for_update(of=("self",)).filter(pk=pk, enabled=True).first()
        if schedule is None:
            return
        before = schedule.next_at
        try:
            set_next(schedule, build_plan(schedule))
        except RuleError as error:
            Schedule.objects.filter(pk=pk).update(problem=str(error)[:500], next_at=None, due_at=None)
            log.warning("the schedule %s can't run: %s", pk, error)
            return
        schedule.save(update_fields=["next_at", "due_at", "computed_for"])
        if before and before != schedule.next_at:
            log.info("the schedule %s moves from %s to %s by tzdata %s", pk, before, schedule.next_at, TZDATA_VERSION)
