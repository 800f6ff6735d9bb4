"""The routes of schedules."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cronium_admin.core.database.clock import database_now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import Occurrence, Schedule
from tests.conftest import Api
from tests.unit.schedules.conftest import at, fire

pytestmark = pytest.mark.django_db


def preview(api: Api, **body: Any) -> Any:
    return api.post("/schedules/preview", body).json()


def test_a_preview_has_times_notes_and_words(admin: Api) -> None:
    body = preview(admin, rule="30 2 * * *", timezone="Europe/Berlin", after="2027-03-27T12:00:00Z", count=2)
    assert body["times"][0] == {
        "at": "2027-03-28T01:00:00Z",
        "local": "2027-03-28 03:00:00",
        "note": "moved: 02:30 does not exist on this day, so it runs when the clock goes forward",
    }
    assert body["times"][1]["note"] == ""
    assert (body["words"], body["tzdata"]) == ("At 02:30, every day (Europe/Berlin).", "2026f")


@pytest.mark.parametrize(
    ("anchor", "first"),
    [
        ("2026-11-30", "2026-11-30T08:00:00Z"),
        ("2026-11-30T23:30", "2026-11-30T08:00:00Z"),
        ("2026-11-29T23:30:00Z", "2026-11-30T08:00:00Z"),
        ("2026-11-30T23:30:00Z", "2026-12-14T08:00:00Z"),
    ],
)
def test_an_anchor_without_an_offset_is_a_time_of_the_zone(admin: Api, anchor: str, first: str) -> None:
    rule = {"kind": "calendar", "rule": "every 2 weeks on mon at 09:00", "timezone": "Europe/Berlin"}
    body = preview(admin, **rule, anchor=anchor, after="2026-11-26T00:00", count=1)
    assert body["times"][0]["at"] == first


def test_times_without_an_offset_are_stored_as_times_of_the_zone(editor: Api, job: Job) -> None:
    body = {"name": "once", "kind": "once", "at": "2027-07-01T09:00", "timezone": "Europe/Berlin"}
    made = editor.post(f"/jobs/{job.slug}/schedules", body).json()
    assert made["at"] == "2027-07-01T07:00:00Z"
    changed = editor.patch(f"/schedules/{made['id']}", {"at": "2027-12-01T09:00"}).json()
    assert changed["at"] == "2027-12-01T08:00:00Z"
    moved = editor.patch(f"/schedules/{made['id']}", {"at": "2027-12-01T09:00", "timezone": "America/New_York"}).json()
    assert moved["at"] == "2027-12-01T14:00:00Z"
    refused = editor.patch(f"/schedules/{made['id']}", {"at": "2027-03-14T02:30"})
    assert (refused.status_code, list(refused.json()["fields"])) == (422, ["at"])
    assert "does not exist" in refused.json()["fields"]["at"][0]


def test_a_text_that_is_no_time_is_refused_with_an_example(editor: Api, job: Job) -> None:
    for text in ("yesterday", "2027-13-01T00:00", ""):
        refused = editor.post(f"/jobs/{job.slug}/schedules", {"name": "x", "kind": "once", "at": text})
        assert (refused.status_code, "such as" in refused.json()["fields"]["at"][0]) == (422, True)


def test_a_skipped_time_is_noted_at_the_next(admin: Api) -> None:
    more = {"timezone": "Europe/Berlin", "after": "2027-03-27T12:00:00Z", "dst_gap": "skip", "count": 1}
    [time] = preview(admin, rule="30 2 * * *", **more)["times"]
    assert (time["at"], "skipped" in time["note"], "2027-03-28 02:30" in time["note"]) == (
        "2027-03-29T00:30:00Z",
        True,
        True,
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"rule": "60 * * * *"}, "rule"),
        ({"rule": "0 0 30 2 *"}, "rule"),
        ({"rule": ""}, "rule"),
        ({"rule": "0 0 * * *", "timezone": "Mars/Base"}, "timezone"),
        ({"kind": "interval"}, "every_seconds"),
        ({"kind": "interval", "every_seconds": 0, "anchor": "2026-10-25T00:00:00Z"}, "every_seconds"),
        ({"kind": "once"}, "at"),
        ({"kind": "never"}, "kind"),
        ({"rule": "0 0 * * *", "dst_gap": "maybe"}, "dst_gap"),
        ({"rule": "0 0 * * *", "count": 0}, "count"),
        ({"rule": "0 0 * * *", "count": 10_000}, "count"),
        ({"rule": "0 0 * * *", "after": "yesterday"}, "after"),
        ({"rule": "0 0 * * *", "color": "red"}, "color"),
        ({"kind": "calendar", "rule": "sometimes"}, "rule"),
    ],
)
def test_a_bad_preview_names_its_field(admin: Api, body: dict[str, Any], field: str) -> None:
    answer = admin.post("/schedules/preview", body)
    assert (answer.status_code, list(answer.json()["fields"])) == (422, [field]), answer.content


@pytest.mark.parametrize("after", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1900-01-01T00:00:00Z"])
def test_a_preview_far_away(admin: Api, after: str) -> None:
    for body in ({"rule": "0 0 * * *"}, {"kind": "interval", "every_seconds": 1, "anchor": after}):
        answer = admin.post("/schedules/preview", body | {"after": after, "timezone": "Europe/Berlin"})
        assert answer.status_code == 200, answer.content


def test_an_interval_keeps_its_anchor(admin: Api) -> None:
    body = preview(
        admin, kind="interval", every_seconds=5400, anchor="2026-10-25T00:00:00Z", after="2026-10-24T20:00:00Z", count=2
    )
    assert [time["at"] for time in body["times"]] == ["2026-10-25T00:00:00Z", "2026-10-25T01:30:00Z"]


def test_a_schedule_is_created_changed_and_deleted(editor: Api, make_job: Callable[..., Job]) -> None:
    make_job(slug="report")
    created = editor.post("/jobs/report/schedules", {"name": "nightly", "rule": "0 3 * * *", "timezone": "UTC"})
    assert created.status_code == 201, created.content
    body = created.json()
    assert (body["job"], body["owner"], body["overlap"], body["missed"]) == ("report", "editor", "skip", "latest")
    assert body["next_at"].endswith("T03:00:00Z")
    url = f"/schedules/{body['id']}"
    assert editor.get(url).json() == body
    assert [item["id"] for item in editor.get("/schedules").json()["items"]] == [body["id"]]
    assert [item["id"] for item in editor.get("/jobs/report/schedules").json()["items"]] == [body["id"]]
    changed = editor.patch(url, {"rule": "0 9 * * *", "version": 1}).json()
    assert (changed["next_at"][11:], changed["version"]) == ("09:00:00Z", 2)
    assert editor.patch(url, {"rule": "0 8 * * *", "version": 1}).status_code == 409
    assert editor.get(f"{url}/occurrences").json() == {"items": [], "next": None}
    assert editor.delete(url).status_code == 204
    assert editor.get(url).status_code == 404


def test_a_name_is_taken_once(editor: Api, make_job: Callable[..., Job]) -> None:
    make_job(slug="report")
    body = {"name": "nightly", "rule": "@daily"}
    assert editor.post("/jobs/report/schedules", body).status_code == 201
    answer = editor.post("/jobs/report/schedules", body)
    assert (answer.status_code, list(answer.json()["fields"])) == (409, ["name"])


def test_an_operator_changes_nothing(operator: Api, make_schedule: Callable[..., Schedule]) -> None:
    schedule = make_schedule()
    url = f"/schedules/{schedule.pk}"
    assert operator.get(url).status_code == 200
    assert operator.patch(url, {"enabled": False}).status_code == 403
    assert operator.delete(url).status_code == 403
    assert operator.post(f"/jobs/{schedule.job.slug}/schedules", {"name": "x", "rule": "@daily"}).status_code == 403


class TestNothingOfThePast:
    """E12: enabling, editing and saving again run nothing that has passed."""

    def test_enabling_after_three_days(self, editor: Api, make_schedule: Callable[..., Schedule]) -> None:
        now = database_now()
        schedule = make_schedule("0 * * * *", cursor=f"{now - timedelta(days=3):%Y-%m-%dT%H:%M}", enabled=False)
        body = editor.patch(f"/schedules/{schedule.pk}", {"enabled": True}).json()
        assert at(body["next_at"].removesuffix("Z")) > now
        [row] = Occurrence.objects.all()
        assert (row.state, row.reason) == ("disabled", "The schedule was disabled")
        assert 71 <= row.count <= 73
        assert not Run.objects.exists()

    def test_another_rule_counts_from_now(self, editor: Api, make_schedule: Callable[..., Schedule]) -> None:
        schedule = make_schedule("0 3 1 1 *", cursor=f"{database_now():%Y-%m-%dT%H:%M}")
        past = database_now() - timedelta(minutes=5)
        body = editor.patch(f"/schedules/{schedule.pk}", {"rule": f"{past.minute} {past.hour} * * *"}).json()
        assert at(body["next_at"].removesuffix("Z")) > database_now()
        assert not Run.objects.exists()

    def test_the_same_rule_again_leaves_the_cursor(self, editor: Api, make_schedule: Callable[..., Schedule]) -> None:
        schedule = make_schedule("0 3 1 1 *", cursor=f"{database_now():%Y-%m-%dT%H:%M}")
        cursor = Schedule.objects.get().cursor_at
        editor.patch(f"/schedules/{schedule.pk}", {"rule": "0 3 1 1 *", "name": "renamed"})
        stored = Schedule.objects.get()
        assert (stored.name, stored.rule_number) == ("renamed", 1)
        assert stored.cursor_at >= cursor


def test_missed_times_are_run_on_request(operator: Api, make_schedule: Callable[..., Schedule]) -> None:
    schedule = make_schedule(cursor="2026-11-26T01:30", missed="none")
    fire(schedule, "2026-11-26T05:30", ("2026-11-26T01:30", "2026-11-26T05:30"))
    answer = operator.post(f"/schedules/{schedule.pk}/run-missed", {"limit": 2})
    assert (answer.status_code, len(answer.json()["runs"])) == (202, 2), answer.content
    rows = operator.get(f"/schedules/{schedule.pk}/occurrences").json()["items"]
    assert [(row["nominal_at"][11:16], row["state"], row["count"]) for row in rows] == [
        ("05:00", "caught_up", 1),
        ("04:00", "caught_up", 1),
        ("02:00", "missed", 2),
    ]
    assert {run.trigger for run in Run.objects.all()} == {"catch_up"}
    assert [row["run"] for row in rows[:2]] == answer.json()["runs"][::-1]
    assert len(operator.post(f"/schedules/{schedule.pk}/run-missed").json()["runs"]) == 2
    assert operator.post(f"/schedules/{schedule.pk}/run-missed").status_code == 409
