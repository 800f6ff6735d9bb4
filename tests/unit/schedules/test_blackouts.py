"""E16 and E17: a time in a blackout window has a row and no run; the preview shows it."""

from collections.abc import Callable

import pytest

from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import Schedule
from tests.conftest import Api
from tests.unit.schedules.conftest import at, fire, read_ledger

pytestmark = pytest.mark.django_db
Make = Callable[..., Schedule]


def test_a_time_in_a_window_has_a_row_and_no_run(make_schedule: Make) -> None:
    schedule = make_schedule("30 2 * * *", blackouts="01:00-04:00 backup", timezone="Europe/Berlin")
    assert (schedule.due_at, schedule.next_at) == (at("2026-11-26T01:30"), None)
    assert fire(schedule, "2026-11-26T01:30") == [("2026-11-26T01:30", "blackout", "blackout 01:00-04:00 backup", 1)]
    fire(schedule, "2026-11-27T01:30")
    assert len(read_ledger(schedule)) == 2, "a row a day"
    assert not Run.objects.exists()


def test_times_of_one_window_share_a_row(make_schedule: Make) -> None:
    schedule = make_schedule("*/15 * * * *", blackouts="01:00-02:00", overlap="allow")
    assert schedule.next_at == at("2026-11-26T00:45")
    for minute in ("00:45", "01:00", "01:15", "01:30"):
        fire(schedule, f"2026-11-26T{minute}")
    ledger = fire(schedule, "2026-11-26T02:00")
    assert [(time[11:], state, count) for time, state, _, count in ledger] == [
        ("00:45", "ran", 1),
        ("01:00", "blackout", 4),
        ("02:00", "ran", 1),
    ]
    Schedule.objects.update(cursor_at=at("2026-11-26T01:05"))
    assert fire(schedule, "2026-11-26T02:00") == ledger, "the clock of the database went back"


def test_a_blackout_during_a_downtime_is_no_missed_time(make_schedule: Make) -> None:
    schedule = make_schedule("0 * * * *", blackouts="03:00-04:30", missed="all", overlap="allow")
    Schedule.objects.update(missed_within_seconds=86_400)
    ledger = fire(schedule, "2026-11-26T05:30", ("2026-11-26T01:30", "2026-11-26T05:30"))
    assert [(time[11:], state, count) for time, state, _, count in ledger] == [
        ("01:00", "caught_up", 1),
        ("02:00", "caught_up", 1),
        ("03:00", "blackout", 2),
        ("05:00", "caught_up", 1),
    ]


def test_the_blackout_of_the_night_of_the_clock_change_is_four_hours(make_schedule: Make) -> None:
    schedule = make_schedule(
        "0 * * * *", blackouts="01:00-04:00", timezone="Europe/Berlin", cursor="2026-10-24T22:30", overlap="allow"
    )
    for hour in ("24T23", "25T00", "25T01", "25T02", "25T03"):
        ledger = fire(schedule, f"2026-10-{hour}:00")
    assert [(time[11:], state, count) for time, state, _, count in ledger] == [
        ("23:00", "blackout", 4),
        ("03:00", "ran", 1),
    ]


def test_windows_are_saved_shown_and_refused_at_their_field(editor: Api, make_schedule: Make) -> None:
    url = f"/schedules/{make_schedule().pk}"
    answer = editor.patch(url, {"blackouts": [" 01:00 - 04:00 ", "", "sat  22:00-sun 06:00"]})
    assert answer.status_code == 200, answer.content
    assert answer.json()["blackouts"] == ["01:00 - 04:00", "sat 22:00-sun 06:00"]
    assert answer.json()["words"].endswith("Not in the blackout 01:00 - 04:00, sat 22:00-sun 06:00.")
    for wrong in ("noon", "01:00-25:00", "\0", "01:00-02:00 a\0b"):
        answer = editor.patch(url, {"blackouts": [wrong]})
        assert (answer.status_code, list(answer.json()["fields"])) == (422, ["blackouts"]), answer.content


def test_the_preview_shows_closed_times_and_warns_if_nothing_is_left(viewer: Api) -> None:
    body = {"rule": "0 1,2,5 * * *", "after": "2026-11-26T00:00:00Z", "count": 4, "blackouts": ["01:00-04:00 backup"]}
    answer = viewer.post("/schedules/preview", body).json()
    found = [(time["at"][8:16], time.get("runs"), time.get("count"), time["note"]) for time in answer["times"]]
    closed = "does not run: blackout 01:00-04:00 backup, 2 times"
    assert found == [
        ("26T01:00", False, 2, closed),
        ("26T05:00", None, None, ""),
        ("27T01:00", False, 2, closed),
        ("27T05:00", None, None, ""),
    ]
    assert answer["warnings"] == []
    answer = viewer.post("/schedules/preview", {**body, "rule": "30 2 * * *"}).json()
    assert answer["warnings"][-1].startswith("It never runs: ")
