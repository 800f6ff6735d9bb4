"""Fixtures of the tests of schedules."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from cronium_admin.jobs.models import Job
from cronium_admin.schedules.decisions import Downtime
from cronium_admin.schedules.firing import Tick, fire_schedule
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.rules import build_plan, set_next
from tests.users import get_admin


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def instant(text: str) -> int:
    return int(at(text).timestamp())


def store_schedule(job: Job, rule: str = "0 * * * *", cursor: str = "2026-11-26T00:30", **values: Any) -> Schedule:
    """As the service does, but with any cursor."""
    values = {"name": "nightly", "owner": get_admin(), **values}
    schedule = Schedule(job=job, rule=rule, cursor_at=at(cursor), **values)
    schedule.save()
    set_next(schedule, build_plan(schedule))
    schedule.save()
    return schedule


@pytest.fixture
def make_schedule(make_job: Callable[..., Job]) -> Callable[..., Schedule]:
    def make(rule: str = "0 * * * *", *, cursor: str = "2026-11-26T00:30", **values: Any) -> Schedule:
        return store_schedule(values.pop("job", None) or make_job(), rule, cursor, **values)

    return make


def fire(schedule: Schedule, now: str, down: tuple[str, str] | None = None) -> list[tuple[str, str, str, int]]:
    """Looks at the schedule at `now`; returns its ledger as (time, state, reason, count), oldest first."""
    downtime = Downtime(instant(down[0]), instant(down[1])) if down else None
    fire_schedule(schedule.pk, Tick(instant(now), downtime))
    return read_ledger(schedule)


def read_ledger(schedule: Schedule) -> list[tuple[str, str, str, int]]:
    rows = schedule.occurrences.order_by("nominal_at", "pk")
    return [(f"{row.nominal_at:%Y-%m-%dT%H:%M}", row.state, row.reason, row.count) for row in rows]
