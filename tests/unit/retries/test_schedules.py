"""Attempts of a schedule's run, and the schedule's next time."""

from collections.abc import Callable

import pytest

from cronium_admin.jobs.models import Job
from cronium_admin.jobs.retry import normalize_retry
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.serial import is_turn
from cronium_admin.schedules import firing
from cronium_admin.schedules.history import find_previous_time
from cronium_admin.schedules.models import Schedule
from tests.unit.retries.conftest import fail, find_next
from tests.unit.schedules.conftest import at, fire, store_schedule

pytestmark = pytest.mark.django_db
Make = Callable[..., Schedule]


@pytest.fixture
def make(make_job: Callable[..., Job]) -> Make:
    def make_one(overlap: str = "skip") -> Schedule:
        retry = normalize_retry({"max": 2, "delay_seconds": 7200, "backoff": "constant"})
        return store_schedule(make_job(retry=retry), overlap=overlap)

    return make_one


def start_attempt(schedule: Schedule) -> Run:
    """The schedule's first time runs and fails; returns the attempt that waits."""
    fire(schedule, "2026-11-26T01:00")
    return fail(Run.objects.get())


def test_an_attempt_keeps_what_the_schedule_gave(make: Make) -> None:
    schedule = make()
    second = start_attempt(schedule)
    nominal = at("2026-11-26T01:00")
    key = f"schedule:{schedule.pk}"
    assert (second.trigger, second.scheduled_for, second.serial_key) == ("retry", nominal, key)
    assert (second.caused_by, second.schedule_id, second.created_by) == (key, schedule.pk, schedule.owner)
    fire(schedule, "2026-11-26T02:00")
    assert find_previous_time(second) is None


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "cancel_running"])
def test_a_waiting_attempt_gives_way_to_the_next_time(make: Make, overlap: str) -> None:
    schedule = make(overlap)
    second = start_attempt(schedule)
    assert [row[1] for row in fire(schedule, "2026-11-26T02:00")] == ["ran", "ran"]
    second.refresh_from_db()
    assert (second.status, second.reason) == (Status.CANCELLED, "superseded")
    text = "The next time of the schedule nightly, 2026-11-26 02:00 UTC, came before this attempt started."
    assert second.message == text
    assert find_next(second) is None
    new = Run.objects.get(scheduled_for=at("2026-11-26T02:00"))
    assert Run.objects.filter(is_turn(), pk=new.pk).exists()


def test_the_reason_names_the_time_in_the_zone_of_the_schedule(make: Make) -> None:
    schedule = make("skip")
    Schedule.objects.update(timezone="Europe/Berlin")
    second = start_attempt(schedule)
    fire(schedule, "2026-11-26T02:00")
    second.refresh_from_db()
    assert "2026-11-26 03:00 CET" in second.message


@pytest.mark.parametrize(("overlap", "is_turn_of_new"), [("queue_all", False), ("allow", True)])
def test_with_these_policies_it_keeps_its_turn(make: Make, overlap: str, is_turn_of_new: bool) -> None:
    schedule = make(overlap)
    second = start_attempt(schedule)
    assert [row[1] for row in fire(schedule, "2026-11-26T02:00")] == ["ran", "ran"]
    second.refresh_from_db()
    assert second.status == Status.QUEUED
    new = Run.objects.get(scheduled_for=at("2026-11-26T02:00"))
    assert Run.objects.filter(is_turn(), pk=new.pk).exists() is is_turn_of_new


def test_an_attempt_that_runs_counts_as_the_run(make: Make) -> None:
    schedule = make()
    second = start_attempt(schedule)
    Run.objects.filter(pk=second.pk).update(status=Status.RUNNING)
    assert fire(schedule, "2026-11-26T02:00")[1][1:3] == ("overlapped", f"The run #{second.number} was running")


def test_an_attempt_that_starts_at_this_moment(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = make()
    second = start_attempt(schedule)

    def claim_first(run: Run, *more: str) -> bool:
        Run.objects.filter(pk=run.pk).update(status=Status.STARTING)
        return False

    monkeypatch.setattr(firing, "end_superseded_attempt", claim_first)
    assert fire(schedule, "2026-11-26T02:00")[1][1:3] == ("overlapped", f"The run #{second.number} had just started")
    assert Run.objects.count() == 2


def test_a_refused_launch_leaves_the_attempt(make: Make) -> None:
    schedule = make()
    second = start_attempt(schedule)
    Schedule.objects.update(owner=None)
    assert fire(schedule, "2026-11-26T02:00")[1][1] == "not_ready"
    second.refresh_from_db()
    assert second.status == Status.QUEUED
