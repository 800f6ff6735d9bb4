"""E20: what a script learns about its schedule from its context."""

from collections.abc import Callable
from typing import Any

import pytest

from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run, Status
from cronium_admin.runtime_api.handlers import build_context
from cronium_admin.schedules.models import Schedule
from tests.conftest import Api
from tests.unit.schedules.conftest import fire
from tests.users import get_admin

pytestmark = pytest.mark.django_db
Make = Callable[..., Schedule]


def read_context(run: Run) -> tuple[Any, Any, Any]:
    context = build_context(Run.objects.get(pk=run.pk))
    return context["trigger"], context["scheduled_for"], context["previous_scheduled_for"]


def test_the_nominal_time_and_the_one_before(make_schedule: Make) -> None:
    schedule = make_schedule(overlap="allow")
    other = make_schedule(job=schedule.job, name="other", overlap="allow")
    for now in ("2026-11-26T01:00", "2026-11-26T02:00:30", "2026-11-26T03:00"):
        fire(schedule, now)
        fire(other, now)
    runs = [row.run for row in schedule.occurrences.order_by("nominal_at")]
    assert [read_context(run) for run in runs if run] == [
        ("schedule", "2026-11-26T01:00:00+00:00", None),
        ("schedule", "2026-11-26T02:00:00+00:00", "2026-11-26T01:00:00+00:00"),
        ("schedule", "2026-11-26T03:00:00+00:00", "2026-11-26T02:00:00+00:00"),
    ]


def test_times_without_a_run_are_passed_over(make_schedule: Make) -> None:
    schedule = make_schedule()
    fire(schedule, "2026-11-26T01:00")
    fire(schedule, "2026-11-26T02:00")  # overlapped
    Run.objects.update(status=Status.SUCCEEDED)
    fire(schedule, "2026-11-26T03:00")
    last = schedule.occurrences.get(nominal_at="2026-11-26T03:00Z").run
    assert last is not None
    assert read_context(last)[2] == "2026-11-26T01:00:00+00:00"


def test_a_missed_time_has_the_time_before_it(operator: Api, make_schedule: Make) -> None:
    schedule = make_schedule(missed="none", overlap="allow")
    fire(schedule, "2026-11-26T01:00")
    fire(schedule, "2026-11-26T03:30", ("2026-11-26T01:30", "2026-11-26T03:30"))
    fire(schedule, "2026-11-26T04:00")
    [pk] = operator.post(f"/schedules/{schedule.pk}/run-missed", {"limit": 1}).json()["runs"]
    expected = ("catch_up", "2026-11-26T03:00:00+00:00", "2026-11-26T01:00:00+00:00")
    assert read_context(Run.objects.get(pk=pk)) == expected


def test_other_runs_have_none(make_schedule: Make) -> None:
    schedule = make_schedule()
    assert read_context(launch(schedule.job, get_admin())) == ("api", None, None)
    fire(schedule, "2026-11-26T01:00")
    scheduled = Run.objects.get(trigger="schedule")
    assert read_context(rerun(scheduled, get_admin()))[0] == "rerun"
    schedule.delete()
    assert read_context(scheduled) == ("schedule", "2026-11-26T01:00:00+00:00", None)
