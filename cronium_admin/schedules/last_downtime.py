"""The last downtime: the times in it that did not run when they were due, and the request to run the rest."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Max, Q, Sum

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ApiError
from cronium_admin.schedules.catch_up import run_missed
from cronium_admin.schedules.models import Heartbeat, Occurrence, Schedule, State
from cronium_admin.schedules.service import find_schedule, list_schedules

MAX_SCHEDULES = 200  # in the list; those with the most times to run
MAX_LAUNCHED = 200  # runs of one request
RECENT = timedelta(days=7)
# What no run stands for.
LEFT = (State.MISSED, State.OVERLAPPED, State.NOT_READY)
_SHOWN = (State.CAUGHT_UP, State.LATE, State.MERGED, *LEFT)


@dataclass(frozen=True)
class Downtime:
    began_at: datetime
    ended_at: datetime

    @property
    def is_recent(self) -> bool:
        return self.ended_at > database_now() - RECENT


@dataclass(frozen=True)
class AffectedSchedule:
    """`counts` has the times of each state, `reason` is the one of its newest missed row."""

    schedule: Schedule
    counts: dict[str, int]
    reason: str
    can_run: bool

    @property
    def left(self) -> int:
        return sum(self.counts[state] for state in LEFT)

    @property
    def shown(self) -> list[tuple[str, int]]:
        return [(state, count) for state, count in self.counts.items() if count]


@dataclass
class CatchUp:
    """`left`: how many times of the chosen schedules are over MAX_LAUNCHED. `problems` name their schedule."""

    launched: int = 0
    schedules: int = 0
    left: int = 0
    problems: list[str] = field(default_factory=list)


def find_last_downtime() -> Downtime | None:
    row = Heartbeat.objects.filter(pk=1).first()
    if row is None or row.down_from is None or row.down_until is None:
        return None
    return Downtime(row.down_from, row.down_until)


def list_affected(user: User, downtime: Downtime) -> tuple[list[AffectedSchedule], bool]:
    """Those that the user sees, the most times to run first. True: there are more than MAX_SCHEDULES."""
    sums: dict[str, Any] = {f"n_{state}": Sum("count", filter=Q(state=state), default=0) for state in _SHOWN}
    rows = _select_times(downtime).filter(schedule__in=Schedule.objects.visible_to(user).values("pk"), state__in=_SHOWN)
    counted = rows.order_by().values("schedule").annotate(**sums, newest=Max("pk", filter=Q(state__in=LEFT)))
    found = list(counted.order_by(*(f"-n_{state}" for state in LEFT), "schedule")[: MAX_SCHEDULES + 1])
    shown = found[:MAX_SCHEDULES]
    schedules = list_schedules(user).in_bulk([row["schedule"] for row in shown])
    reasons = dict(Occurrence.objects.filter(pk__in=[row["newest"] for row in shown]).values_list("pk", "reason"))
    affected = [
        AffectedSchedule(
            schedule,
            {state: row[f"n_{state}"] for state in _SHOWN},
            reasons.get(row["newest"], ""),
            can(user, Permission.RUN, schedule),
        )
        for row in shown
        if (schedule := schedules.get(row["schedule"]))
    ]
    return affected, len(found) > MAX_SCHEDULES


def run_rest(user: User, downtime: Downtime, keys: Iterable[int]) -> CatchUp:
    """Runs what no run stands for, of these schedules, each time once. A refused schedule stops no other."""
    result = CatchUp()
    for pk in keys:
        try:
            schedule = find_schedule(user, pk, Permission.RUN)
            rows = _select_times(downtime).filter(schedule=schedule, state__in=LEFT)
            due = rows.aggregate(total=Sum("count", default=0))["total"]
            limit = min(due, MAX_LAUNCHED - result.launched)
            result.left += due - limit
            if limit:
                runs = run_missed(schedule, limit, user, rows)
                result.launched += len(runs)
                result.schedules += 1
        except ApiError as error:
            result.problems.append(error.message)
        except ValidationError as error:  # the stored job can't be launched any more
            result.problems.append(f"{schedule.name}: {' '.join(error.messages)}")
    return result


def _select_times(downtime: Downtime) -> Any:
    return Occurrence.objects.filter(nominal_at__gte=downtime.began_at, nominal_at__lte=downtime.ended_at)
