"""What the next changes of the clock do to a rule, on the form and in the API."""

from collections.abc import Callable
from typing import Any

import pytest

from cronium_admin.accounts.models import User
from cronium_admin.schedules.clock_changes import ClockChange, list_clock_changes
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.rules import RuleFields, build_fields_plan
from tests.unit.schedules.conftest import at, instant
from tests.unit.schedules.test_pages import TYPED, read, sign_in

pytestmark = pytest.mark.django_db
AFTER = "2026-11-29T00:00"


def find(rule: str, zone: str = "Europe/Berlin", after: str = AFTER, **values: Any) -> list[ClockChange]:
    plan = build_fields_plan(RuleFields(rule=rule, timezone=zone, **values))
    return list_clock_changes(plan, zone, instant(after))


def test_a_fixed_time_is_moved_and_runs_the_first_time() -> None:
    forward, back = find("30 2 * * *")
    assert forward.words == "Sun 28 Mar 2027: the clock goes forward from 02:00 CET to 03:00 CEST."
    [moved] = forward.times
    assert (moved.at, moved.text, moved.runs) == (at("2027-03-28T01:00"), "Sun 28 Mar 2027 03:00 CEST", True)
    assert moved.note.startswith("moved: 02:30 does not exist")
    assert back.words == "Sun 31 Oct 2027: the clock goes back from 03:00 CEST to 02:00 CET."
    [doubled] = back.times
    assert doubled.at == at("2027-10-31T00:30")
    assert doubled.note.startswith("doubled: 02:30 comes twice")


def test_skipped_and_merged_times() -> None:
    [skipped] = find("30 2 * * *", dst_gap="skip")[0].times
    assert (skipped.at, skipped.text, skipped.runs) == (None, "Sun 28 Mar 2027 02:30", False)
    [merged] = find("0,30 2 * * *")[0].times
    assert merged.note.startswith("merged: 02:00 and 02:30")
    forward, back = find("*/15 2 * * *")
    assert [time.text[-5:] for time in forward.times] == ["02:00", "02:15", "02:30", "02:45"]
    assert [time.at for time in forward.times] == [None] * 4
    assert back.times[0].text == "Sun 31 Oct 2027 02:00 CET"  # the additional runs
    assert len(back.times) == 4
    assert len(find("30 2 * * *", dst_repeat="both")[1].times) == 2


def test_many_times_are_bounded() -> None:
    forward = find("* * * * *")[0]
    assert (len(forward.times), forward.more, forward.is_listed) == (12, 48, True)
    each_second = find("* * * * * *")[0]
    assert (each_second.times, each_second.is_listed) == ([], False)


@pytest.mark.parametrize(
    ("rule", "zone", "values"),
    [
        ("30 2 * * *", "UTC", {}),
        ("30 2 * * *", "Asia/Tokyo", {}),
        ("", "Europe/Berlin", {"kind": "interval", "every_seconds": 60, "anchor": at(AFTER)}),
        ("", "Europe/Berlin", {"kind": "once", "at": at("2027-03-28T01:00")}),
    ],
)
def test_nothing_without_changes(rule: str, zone: str, values: dict[str, Any]) -> None:
    assert find(rule, zone, **values) == []


def test_a_change_that_concerns_no_time_is_listed() -> None:
    assert [change.times for change in find("0 12 * * *")] == [[], []]


def test_a_blackout_closes_a_moved_time() -> None:
    [moved] = find("30 2 * * *", blackouts="03:00-04:00 backup")[0].times
    assert not moved.runs
    assert moved.note.endswith("does not run: blackout 03:00-04:00 backup")


def test_changes_at_midnight_and_of_half_an_hour() -> None:
    cairo = find("0 0 * * *", "Africa/Cairo")[0]
    assert cairo.words == "Fri 30 Apr 2027: the clock goes forward from 00:00 EET to 01:00 EEST."
    [moved] = cairo.times
    assert moved.at == at("2027-04-29T22:00")
    havana = find("0 0 * * *", "America/Havana", "2027-06-01T00:00")[0]
    assert havana.words == "Sun 7 Nov 2027: the clock goes back from 01:00 CDT to 00:00 CST."
    lord_howe = find("15 2 * * *", "Australia/Lord_Howe", "2027-06-01T00:00")[0]
    assert lord_howe.times[0].at == at("2027-10-02T15:30")


def test_the_form_shows_them(people: dict[str, User], make_schedule: Callable[..., Schedule]) -> None:
    editor = sign_in(people["editor"])
    page = read(editor.post("/schedules/preview/", TYPED))
    assert "Around clock changes" in page
    assert "the clock goes forward from 02:00 CET to 03:00 CEST." in page
    assert "Around clock changes" not in read(editor.post("/schedules/preview/", TYPED | {"timezone": "UTC"}))


def test_the_preview_of_the_api_lists_them(admin: Any) -> None:
    body = {"rule": "30 2 * * *", "timezone": "Europe/Berlin", "after": "2026-11-29T00:00:00Z"}
    assert "clock_changes" not in admin.post("/schedules/preview", body).json()
    found = admin.post("/schedules/preview", body | {"clock_changes": True}).json()["clock_changes"]
    assert [change["at"] for change in found] == ["2027-03-28T01:00:00Z", "2027-10-31T01:00:00Z"]
    [moved] = found[0].pop("times")
    assert (moved["at"], moved["runs"], moved["note"][:5]) == ("2027-03-28T01:00:00Z", True, "moved")
    assert found[0] | {"words": ""} == {"at": found[0]["at"], "words": "", "more": 0, "listed": True}
    assert admin.post("/schedules/preview", body | {"clock_changes": "yes"}).status_code == 422
