"""Each nominal time gets one row and at most one run."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.serial import fetch_serial_runs, find_earlier, is_turn
from cronium_admin.schedules.firing import AlreadyDecided, Tick, fire_schedule
from cronium_admin.schedules.models import Schedule
from tests.limits import limit_job
from tests.unit.schedules.conftest import at, fire, instant, read_ledger, store_schedule
from tests.users import get_admin

pytestmark = pytest.mark.django_db
Make = Callable[..., Schedule]


def test_a_time_runs_once(make_schedule: Make) -> None:
    schedule = make_schedule()
    assert schedule.next_at == at("2026-11-26T01:00")
    assert fire(schedule, "2026-11-26T01:00") == [("2026-11-26T01:00", "ran", "", 1)]
    run = Run.objects.get()
    assert (run.trigger, run.scheduled_for, run.caused_by) == (
        "schedule",
        at("2026-11-26T01:00"),
        f"schedule:{schedule.pk}",
    )
    assert run.occurrence.schedule == schedule
    assert "the schedule nightly" in run.events.get().message
    schedule.refresh_from_db()
    assert (schedule.cursor_at, schedule.next_at) == (at("2026-11-26T01:00"), at("2026-11-26T02:00"))
    fire(schedule, "2026-11-26T01:00")
    assert Run.objects.count() == 1


def test_an_old_cursor_fires_nothing_twice(make_schedule: Make) -> None:
    """The database's clock goes back, or the write of another process is overtaken."""
    schedule = make_schedule()
    fire(schedule, "2026-11-26T01:00")
    Schedule.objects.update(cursor_at=at("2026-11-26T00:30"))
    assert fire(schedule, "2026-11-26T01:00") == [("2026-11-26T01:00", "ran", "", 1)]
    assert Run.objects.count() == 1


def test_a_disabled_schedule_is_left_alone(make_schedule: Make) -> None:
    schedule = make_schedule(enabled=False)
    with pytest.raises(AlreadyDecided):
        fire(schedule, "2026-11-26T01:00")
    assert read_ledger(schedule) == []


def test_a_disabled_job_is_the_reason(make_schedule: Make, make_job: Callable[..., Job]) -> None:
    schedule = make_schedule(job=make_job(enabled=False))
    assert fire(schedule, "2026-11-26T01:00") == [("2026-11-26T01:00", "disabled", "The job is disabled", 1)]
    assert not Run.objects.exists()


def test_a_frozen_process_runs_late(make_schedule: Make) -> None:
    schedule = make_schedule()
    assert fire(schedule, "2026-11-26T01:01:30") == [("2026-11-26T01:00", "late", "", 1)]
    assert schedule.occurrences.get().late_by_seconds == 90


AWAY = "Cronium did not run from 2026-11-26 01:30 UTC to 2026-11-26 {} UTC"


@pytest.mark.parametrize(
    ("back", "row"),
    [
        ("05:00", ("caught_up", AWAY.format("05:00"))),
        ("06:01", ("missed", f"{AWAY.format('06:01')}; too late by 1 min")),
    ],
)
def test_a_window_for_missed_times(make_schedule: Make, back: str, row: tuple[str, str]) -> None:
    schedule = make_schedule("0 2 * * *", cursor="2026-11-26T01:30", missed_within_seconds=4 * 3600)
    now = f"2026-11-26T{back}"
    assert fire(schedule, now, ("2026-11-26T01:30", now)) == [("2026-11-26T02:00", *row, 1)]


def test_the_latest_stands_for_those_before(make_schedule: Make) -> None:
    schedule = make_schedule("*/5 * * * *", cursor="2026-11-26T01:30", missed_within_seconds=900)
    ledger = fire(schedule, "2026-11-26T02:31", ("2026-11-26T01:30", "2026-11-26T02:31"))
    away = AWAY.format("02:31")
    assert ledger == [
        ("2026-11-26T01:35", "missed", f"{away}; too late by 41 min", 9),
        ("2026-11-26T02:20", "merged", f"{away}; the run of 2026-11-26 02:30 UTC stands for it", 2),
        ("2026-11-26T02:30", "late", "", 1),
    ]


def test_the_latest_is_caught_up(make_schedule: Make) -> None:
    schedule = make_schedule("*/5 * * * *", cursor="2026-11-26T01:30", missed_within_seconds=900)
    ledger = fire(schedule, "2026-11-26T02:34", ("2026-11-26T01:30", "2026-11-26T02:34"))
    assert [(time, state, count) for time, state, _, count in ledger] == [
        ("2026-11-26T01:35", "missed", 9),
        ("2026-11-26T02:20", "merged", 2),
        ("2026-11-26T02:30", "caught_up", 1),
    ]


def test_all_missed_times_up_to_a_number(make_schedule: Make) -> None:
    schedule = make_schedule(
        "*/5 * * * *",
        cursor="2026-11-26T01:30",
        missed="all",
        missed_max=3,
        missed_within_seconds=7200,
        overlap="allow",
    )
    ledger = fire(schedule, "2026-11-26T02:33", ("2026-11-26T01:30", "2026-11-26T02:33"))
    assert [(time, state, count) for time, state, _, count in ledger] == [
        ("2026-11-26T01:35", "missed", 9),
        ("2026-11-26T02:20", "caught_up", 1),
        ("2026-11-26T02:25", "caught_up", 1),
        ("2026-11-26T02:30", "caught_up", 1),
    ]
    assert ledger[0][2].endswith("over the limit of 3 runs")


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "queue_all", "cancel_running"])
def test_runs_for_missed_times_wait_for_each_other(make_schedule: Make, overlap: str) -> None:
    schedule = make_schedule(
        "*/5 * * * *",
        cursor="2026-11-26T01:30",
        missed="all",
        missed_max=3,
        missed_within_seconds=7200,
        overlap=overlap,
    )
    ledger = fire(schedule, "2026-11-26T02:33", ("2026-11-26T01:30", "2026-11-26T02:33"))
    assert [state for _, state, _, _ in ledger] == ["missed", "caught_up", "caught_up", "caught_up"]
    runs = Run.objects.order_by("created_at")
    assert [run.status for run in runs] == ["queued"] * 3
    assert len({run.serial_key for run in runs}) == 1


def test_a_live_run_of_before_still_overlaps_missed_times(make_schedule: Make) -> None:
    schedule = make_schedule(
        "*/5 * * * *", cursor="2026-11-26T01:29", missed="all", missed_max=2, missed_within_seconds=7200
    )
    fire(schedule, "2026-11-26T01:30")
    ledger = fire(schedule, "2026-11-26T01:43", ("2026-11-26T01:30", "2026-11-26T01:43"))
    assert [state for _, state, _, _ in ledger] == ["ran", "overlapped", "overlapped"]


def test_no_missed_time_runs_if_so_set(make_schedule: Make) -> None:
    schedule = make_schedule(cursor="2026-11-26T01:30", missed="none")
    ledger = fire(schedule, "2026-11-26T05:30", ("2026-11-26T01:30", "2026-11-26T05:30"))
    assert [(time, state, count) for time, state, _, count in ledger] == [("2026-11-26T02:00", "missed", 4)]
    assert not Run.objects.exists()


def test_a_look_between_means_late_and_not_missed(make_schedule: Make) -> None:
    """A downtime that ended before the time says nothing about it."""
    schedule = make_schedule("0 2 * * *", cursor="2026-11-26T01:30", missed="none")
    assert fire(schedule, "2026-11-26T02:10", ("2026-11-26T00:00", "2026-11-26T01:00")) == [
        ("2026-11-26T02:00", "late", "", 1)
    ]


def test_an_owner_who_left_is_named(make_schedule: Make) -> None:
    schedule = make_schedule(owner=None)
    [(_, state, reason, _)] = fire(schedule, "2026-11-26T01:00")
    assert (state, "owner" in reason) == ("not_ready", True)
    schedule.refresh_from_db()
    assert schedule.problem == reason
    Schedule.objects.update(acts_as="project")
    assert fire(schedule, "2026-11-26T02:00")[1][1] == "ran"
    run = Run.objects.get()
    assert run.created_by is None
    schedule.refresh_from_db()
    assert schedule.problem == ""


@pytest.mark.parametrize(
    ("overlap", "states"),
    [
        ("skip", ["ran", "overlapped", "overlapped"]),
        ("queue_one", ["ran", "ran", "overlapped"]),
        ("queue_all", ["ran", "ran", "ran"]),
        ("allow", ["ran", "ran", "ran"]),
    ],
)
def test_overlap(make_schedule: Make, overlap: str, states: list[str]) -> None:
    schedule = make_schedule(overlap=overlap)
    fire(schedule, "2026-11-26T01:00")
    Run.objects.update(status=Status.RUNNING)
    fire(schedule, "2026-11-26T02:00")
    assert [row[1] for row in fire(schedule, "2026-11-26T03:00")] == states


def test_runs_of_a_schedule_take_turns(make_schedule: Make) -> None:
    schedule = make_schedule(overlap="queue_all")
    for hour in ("01", "02", "03"):
        fire(schedule, f"2026-11-26T{hour}:00")
    first, second, third = Run.objects.order_by("scheduled_for")
    assert list(Run.objects.filter(is_turn())) == [first]
    serial = fetch_serial_runs({str(first.serial_key)})
    assert [find_earlier(run, serial) for run in (first, second, third)] == [None, first, first]
    Run.objects.filter(pk=first.pk).update(status=Status.RUNNING)
    assert list(Run.objects.filter(is_turn(), status=Status.QUEUED)) == []
    Run.objects.filter(pk=first.pk).update(status=Status.SUCCEEDED)
    assert list(Run.objects.filter(is_turn(), status=Status.QUEUED)) == [second]
    Run.objects.filter(pk=second.pk).update(status=Status.CANCELLED)
    assert list(Run.objects.filter(is_turn(), status=Status.QUEUED)) == [third]


def test_a_run_in_progress_can_be_cancelled(make_schedule: Make) -> None:
    schedule = make_schedule(overlap="cancel_running")
    fire(schedule, "2026-11-26T01:00")
    Run.objects.update(status=Status.RUNNING)
    assert [row[1] for row in fire(schedule, "2026-11-26T02:00")] == ["ran", "ran"]
    first, second = Run.objects.order_by("scheduled_for")
    assert first.cancel_requested_at is not None
    assert first.events.filter(message="Cancel requested by the schedule nightly").exists()
    assert find_earlier(second, fetch_serial_runs({str(second.serial_key)})) == first


def test_the_labels_of_a_gap_are_in_the_ledger(make_schedule: Make) -> None:
    schedule = make_schedule("*/15 2 * * *", cursor="2027-03-28T00:30", timezone="Europe/Berlin")
    ledger = fire(schedule, "2027-03-28T02:00")
    assert [(time, state) for time, state, _, _ in ledger] == [
        (f"2027-03-28T01:{minute:02}", "gap") for minute in (0, 15, 30, 45)
    ]
    assert ledger[0][2].startswith("skipped: 02:00 does not exist")


def test_new_zone_data_fires_no_time_of_day_twice(make_schedule: Make) -> None:
    schedule = make_schedule("0 9 * * *", cursor="2026-11-26T00:00", timezone="America/Vancouver")
    fire(schedule, "2026-11-26T16:00")
    # Older zone data had 17:00Z for the same label, and the cursor is behind.
    row = schedule.occurrences.get()
    schedule.occurrences.update(nominal_at=row.nominal_at + timedelta(hours=-1))
    Schedule.objects.update(cursor_at=at("2026-11-26T15:30"))
    fire(schedule, "2026-11-26T16:00")
    assert Run.objects.count() == 1
    assert fire(schedule, "2026-11-27T16:00")[-1][:2] == ("2026-11-27T16:00", "overlapped")


def test_a_time_that_the_limit_of_the_job_skips_is_overlapped_and_names_the_run(job: Job) -> None:
    limit_job(job, 1, when_full="skip")
    live = launch(job, get_admin())
    schedule = store_schedule(job, "@hourly")
    fire_schedule(schedule.pk, Tick(instant("2026-11-26T01:00"), None))
    row = schedule.occurrences.get()
    assert row.state == "overlapped"
    assert row.reason == f"Not run: the job runs at most 1 at once, and #{live.number} was live."
    assert row.run is not None
    assert row.run.reason == "concurrency_skipped"
