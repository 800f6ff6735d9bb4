"""Computes the next times again after the rules of time zones or the holidays of countries have changed."""

import logging

from django.db import transaction
from django.db.models import Q

from cron_rules.errors import RuleError
from cron_rules.zones import TZDATA_VERSION
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.rules import build_plan, make_holidays_key, set_next

log = logging.getLogger("cronium.schedules")
_BATCH = 500


def refresh_stale() -> None:
    """Computes the cached times of all schedules that have them from other data. Fires nothing."""
    current = Q(computed_for__endswith=f":{TZDATA_VERSION}")
    has_country = Q(calendar__country__gt="")
    other_holidays = has_country & ~Q(computed_for__endswith=f":{make_holidays_key()}{TZDATA_VERSION}")
    stale = Schedule.objects.filter(~current | other_holidays, enabled=True)
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
        before, was_refused = schedule.next_at, schedule.due_at is None
        try:
            set_next(schedule, build_plan(schedule))
        except RuleError as error:
            Schedule.objects.filter(pk=pk).update(problem=str(error)[:500], next_at=None, due_at=None, computed_for="")
            log.warning("the schedule %s can't run: %s", pk, error)
            return
        if was_refused and schedule.due_at is not None:
            schedule.problem = ""
        schedule.save(update_fields=["next_at", "due_at", "computed_for", "problem"])
        if before and before != schedule.next_at:
            log.info("the schedule %s moves from %s to %s by tzdata %s", pk, before, schedule.next_at, TZDATA_VERSION)
