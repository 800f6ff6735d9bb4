"""Closed days of calendars: E12, E16 and E17, rights, edits, and the optional package of holidays."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.core.database.clock import database_now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.schedules.calendars import national_holidays, service
from cronium_admin.schedules.firing import Tick
from cronium_admin.schedules.models import Calendar, Schedule
from cronium_admin.schedules.refresh import refresh_stale
from cronium_admin.schedules.rounds import fire_due
from cronium_admin.schedules.rules import to_instant
from tests.conftest import Api
from tests.unit.schedules.conftest import at, fire, read_ledger
from tests.users import get_admin

pytestmark = pytest.mark.django_db
Make = Callable[..., Schedule]


@pytest.fixture
def calendar() -> Calendar:
    values = {"name": "berlin", "weekdays": ["sat", "sun"], "country": "de", "subdivision": "BE"}
    return service.add_calendar({**values, "dates": ["2026-12-24 Christmas Eve"]}, get_admin())


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    caches = (national_holidays._load_package, national_holidays.list_countries, national_holidays.list_holidays)

    def fail(name: str) -> Any:
        raise ImportError(name)

    with monkeypatch.context() as patch:
        for cache in caches:
            cache.cache_clear()
        patch.setattr(national_holidays.importlib, "import_module", fail)
        yield
    for cache in caches:
        cache.cache_clear()


class TestFiring:
    def test_a_closed_day_has_a_row_with_its_reason_and_no_run(self, make_schedule: Make, calendar: Calendar) -> None:
        schedule = make_schedule("0 9 * * *", cursor="2026-12-23T12:00", calendar=calendar)
        assert schedule.next_at == at("2026-12-28T09:00")
        for day in ("24", "25", "26", "27", "28"):
            fire(schedule, f"2026-12-{day}T09:00")
        assert [row[1:3] for row in read_ledger(schedule)] == [
            ("blackout", "closed: Christmas Eve (calendar berlin)"),
            ("blackout", "closed: Christmas Day (calendar berlin)"),
            ("blackout", "closed: Second Day of Christmas (calendar berlin)"),
            ("blackout", "closed: Sunday (calendar berlin)"),
            ("ran", ""),
        ]
        assert Run.objects.count() == 1

    def test_the_day_is_that_of_the_schedules_zone(self, make_schedule: Make, calendar: Calendar) -> None:
        schedule = make_schedule(
            "30 0 * * *", cursor="2026-11-26T12:00", calendar=calendar, timezone="Europe/Berlin", overlap="allow"
        )
        # 2026-11-28 is a Saturday, which begins at 23:00 UTC.
        assert fire(schedule, "2026-11-26T23:30")[0][1] == "ran"
        assert fire(schedule, "2026-11-27T23:30")[1][1:3] == ("blackout", "closed: Saturday (calendar berlin)")

    def test_a_time_moves_to_the_next_open_day_and_says_so(self, make_schedule: Make, calendar: Calendar) -> None:
        schedule = make_schedule(
            "0 9 * * 6", cursor="2026-11-26T12:00", calendar=calendar, on_closed="next_working_day"
        )
        assert schedule.next_at == at("2026-11-30T09:00")
        assert fire(schedule, "2026-11-28T09:00") == []
        ledger = fire(schedule, "2026-11-30T09:00")
        reason = "closed: Saturday (calendar berlin); moved to 2026-11-30 09:00 UTC"
        assert ledger == [("2026-11-28T09:00", "ran", reason, 1)]
        assert Run.objects.get().scheduled_for == at("2026-11-28T09:00")

    def test_moved_times_of_one_moment_are_one_run(self, make_schedule: Make, calendar: Calendar) -> None:
        schedule = make_schedule(
            "0 9 * * *", cursor="2026-11-27T12:00", calendar=calendar, on_closed="next_working_day"
        )
        assert [row[:2] for row in fire(schedule, "2026-11-30T09:00")] == [
            ("2026-11-28T09:00", "merged"),
            ("2026-11-29T09:00", "merged"),
            ("2026-11-30T09:00", "ran"),
        ]
        assert Run.objects.count() == 1

    def test_e17_preview_words_history_and_firing_agree(
        self, make_schedule: Make, calendar: Calendar, viewer: Api
    ) -> None:
        schedule = make_schedule("0 9 * * *", cursor="2026-12-20T12:00", calendar=calendar, overlap="allow")
        body = {"rule": "0 9 * * *", "after": "2026-12-20T12:00:00Z", "count": 12, "calendar": "berlin"}
        shown = viewer.post("/schedules/preview", body).json()
        assert "Not on closed days of the calendar berlin." in shown["words"]
        assert "Not on closed days of the calendar berlin." in viewer.get(f"/schedules/{schedule.pk}").json()["words"]
        for time in shown["times"]:
            fire(schedule, time["at"][:16])
        ran = [time["at"][:16] for time in shown["times"] if time.get("runs") is None]
        assert [row[0] for row in read_ledger(schedule) if row[1] in ("ran", "late")] == ran
        closed = [time["note"] for time in shown["times"] if time.get("runs") is False]
        assert "does not run: closed: Christmas Eve (calendar berlin)" in closed


class TestChangesOfTheCalendar:
    """E12 and E19: a change counts from now; nothing of the past runs; the next times are computed again."""

    def make_daily(self, make_schedule: Make, calendar: Calendar, **values: Any) -> Schedule:
        cursor = f"{database_now() - timedelta(seconds=5):%Y-%m-%dT%H:%M:%S}"
        return make_schedule("0 9 * * *", cursor=cursor, calendar=calendar, **values)

    def test_the_next_time_follows(self, make_schedule: Make, calendar: Calendar, admin: Api) -> None:
        schedule = self.make_daily(make_schedule, calendar)
        assert schedule.next_at is not None
        answer = admin.patch("/calendars/berlin", {"dates": [f"{schedule.next_at:%Y-%m-%d} Closed"]})
        assert answer.status_code == 200, answer.content
        stored = Schedule.objects.get()
        assert stored.next_at is not None
        assert stored.next_at > schedule.next_at
        assert (stored.rule_number, stored.version) == (1, 1)
        assert stored.cursor_at >= schedule.cursor_at
        assert stored.due_at == schedule.due_at, "the closed time gets its row"
        assert not stored.occurrences.exists()

    def test_a_disabled_one_is_left_alone(self, make_schedule: Make, calendar: Calendar, admin: Api) -> None:
        self.make_daily(make_schedule, calendar, enabled=False)
        before = Schedule.objects.values().get()
        assert admin.patch("/calendars/berlin", {"weekdays": []}).status_code == 200
        assert Schedule.objects.values().get() == before

    def test_what_is_due_is_decided_by_the_old_days(self, make_schedule: Make, calendar: Calendar, admin: Api) -> None:
        now = database_now()
        cursor = f"{now - timedelta(seconds=90):%Y-%m-%dT%H:%M:%S}"
        service.save_calendar(calendar, {"weekdays": [], "country": "", "subdivision": "", "dates": []}, get_admin())
        make_schedule("* * * * *", cursor=cursor, calendar=Calendar.objects.get(), overlap="allow")
        today = f"{now:%Y-%m-%d} - {now + timedelta(days=1):%Y-%m-%d} Closed"
        assert admin.patch("/calendars/berlin", {"dates": [today]}).status_code == 200
        states = {row[1] for row in read_ledger(Schedule.objects.get())}
        assert states <= {"ran", "late"}
        assert states, "a minute has passed"

    @pytest.mark.parametrize(("still_closed", "kept"), [(True, True), (False, False)])
    def test_a_time_that_waits_for_an_open_day(
        self, make_schedule: Make, admin: Api, still_closed: bool, kept: bool
    ) -> None:
        """It still runs on the next open day; if its own day is open after all, it is missed."""
        now = database_now()
        today = now.date()
        lines = [f"{today - timedelta(days=1)} - {today} Closed"]
        calendar = service.add_calendar({"name": "days", "dates": lines}, get_admin())
        cursor = f"{now - timedelta(days=1, hours=1):%Y-%m-%dT%H:%M:%S}"
        nominal = (now - timedelta(hours=23)).replace(minute=0, second=0, microsecond=0)
        values = {"kind": "once", "at": nominal, "calendar": calendar, "on_closed": "next_working_day"}
        make_schedule("", cursor=cursor, **values)
        assert nominal.date() in (today, today - timedelta(days=1))
        dates = [*lines, f"{today + timedelta(days=1)} Closed too"] if still_closed else ["2020-01-01 x"]
        assert admin.patch("/calendars/days", {"dates": dates}).status_code == 200
        stored = Schedule.objects.get()
        ledger = read_ledger(stored)
        if kept:
            assert ledger == []
            assert stored.next_at == nominal + (today + timedelta(days=2) - nominal.date())
        else:
            assert [row[1:3] for row in ledger] == [("missed", "It waited to start when the calendar days was changed")]
            assert stored.next_at is None
        assert not Run.objects.exists()

    def test_a_past_time_does_not_move_into_the_future(self, make_schedule: Make, admin: Api) -> None:
        now = database_now()
        calendar = service.add_calendar({"name": "days"}, get_admin())
        cursor = f"{now - timedelta(seconds=5):%Y-%m-%dT%H:%M:%S}"
        nominal = now.replace(microsecond=0) - timedelta(minutes=10)
        values = {"kind": "interval", "every_seconds": 7 * 86_400, "anchor": nominal}
        make_schedule("", cursor=cursor, calendar=calendar, on_closed="next_working_day", **values)
        body = {"dates": [f"{nominal.date()} - {now.date()} Closed"]}
        assert admin.patch("/calendars/days", body).status_code == 200
        assert Schedule.objects.get().next_at == nominal + timedelta(days=7)

    def test_another_name_moves_nothing(self, make_schedule: Make, calendar: Calendar, admin: Api) -> None:
        self.make_daily(make_schedule, calendar)
        before = Schedule.objects.values().get()
        assert admin.patch("/calendars/berlin", {"name": "home"}).json()["name"] == "home"
        assert Schedule.objects.values().get() == before
        assert admin.get("/calendars/berlin").status_code == 404


class TestApi:
    def test_a_calendar_is_created_shown_and_deleted(self, admin: Api, viewer: Api) -> None:
        body = {"name": "home", "weekdays": ["SUN", "sat"], "dates": [" 2026-12-24  Eve "], "country": "de"}
        answer = admin.post("/calendars", body)
        assert answer.status_code == 201, answer.content
        found = viewer.get("/calendars/home").json()
        assert (found["weekdays"], found["dates"], found["country"]) == (["sat", "sun"], ["2026-12-24 Eve"], "DE")
        assert (found["problem"], found["schedules"], found["version"]) == ("", 0, 1)
        assert "Christmas Day" in {day["text"] for day in found["closed_days"]}
        assert [row["name"] for row in viewer.get("/calendars").json()["items"]] == ["home"]
        assert admin.post("/calendars", body).json()["code"] == "name_taken"
        assert admin.delete("/calendars/home").status_code == 204
        assert viewer.get("/calendars").json() == {"items": [], "next": None}

    @pytest.mark.parametrize(
        ("body", "field", "words"),
        [
            ({"name": "A b"}, "name", "Lower-case"),
            ({"name": "new"}, "name", "reserved"),
            ({"weekdays": ["noday"]}, "weekdays", "Allowed are mon"),
            ({"weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}, "weekdays", "no day would be open"),
            ({"dates": ["24.12.2026"]}, "dates", "Write 2026-12-24"),
            ({"dates": ["2026-02-30 x"]}, "dates", "there is no date 2026-02-30"),
            ({"dates": ["2026-12-31 - 2026-12-01"]}, "dates", "before the first"),
            ({"dates": ["2026-01-01 - 2028-01-01"]}, "dates", "at most 366 days"),
            ({"dates": ["2026-01-01 a\0b"]}, "dates", "can't be shown"),
            ({"country": "QQ"}, "country", "two letters"),
            ({"country": "DE", "subdivision": "XX"}, "subdivision", "Allowed are BB"),
            ({"subdivision": "BE"}, "subdivision", "needs a country"),
        ],
    )
    def test_bad_values_are_refused_at_their_field(
        self, admin: Api, body: dict[str, Any], field: str, words: str
    ) -> None:
        answer = admin.post("/calendars", {"name": "home", **body})
        assert answer.status_code == 422, answer.content
        assert list(answer.json()["fields"]) == [field]
        assert words in answer.json()["fields"][field][0]
        assert not Calendar.objects.exists()

    def test_a_schedule_names_its_calendar(self, editor: Api, calendar: Calendar, job: Job) -> None:
        body = {"name": "n", "rule": "0 9 * * *", "calendar": "berlin", "on_closed": "next_working_day"}
        made = editor.post(f"/jobs/{job.slug}/schedules", body)
        assert made.status_code == 201, made.content
        assert (made.json()["calendar"], made.json()["on_closed"]) == ("berlin", "next_working_day")
        url = f"/schedules/{made.json()['id']}"
        assert editor.patch(url, {"name": "m"}).json()["calendar"] == "berlin"
        cleared = editor.patch(url, {"calendar": None}).json()
        assert (cleared["calendar"], cleared["on_closed"]) == (None, "skip")

    @pytest.mark.parametrize("path", ["/schedules/preview", "/jobs/report/schedules"])
    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"calendar": "other"}, "calendar"),
            ({"calendar": "a\0b"}, "calendar"),
            ({"on_closed": "run"}, "on_closed"),
            ({"calendar": "berlin", "on_closed": "next_working_day", "rule": "* * * * *"}, "on_closed"),
        ],
    )
    def test_a_schedule_with_a_wrong_one_is_refused(
        self, path: str, values: dict[str, Any], field: str, editor: Api, calendar: Calendar, job: Job
    ) -> None:
        body = {"rule": "0 9 * * *", **values} | ({} if path.endswith("preview") else {"name": "n"})
        answer = editor.post(path, body)
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field]), answer.content

    def test_one_in_use_is_kept_and_names_the_schedules_that_one_sees(
        self, admin: Api, calendar: Calendar, make_schedule: Make
    ) -> None:
        make_schedule(calendar=calendar, name="nightly")
        answer = admin.delete("/calendars/berlin")
        assert (answer.status_code, answer.json()["code"]) == (409, "calendar_in_use")
        assert "used by the schedules nightly of " in answer.json()["detail"]
        assert Calendar.objects.exists()

    def test_an_editor_of_a_project_sees_and_uses_it_and_does_not_change_it(self, calendar: Calendar) -> None:
        project = Project.objects.create(name="South", slug="south")
        member = User.objects.create(username="member", role="")
        Membership.objects.create(user=member, project=project, role="editor")
        api = Api(member)
        assert api.post("/jobs", {"name": "Own", "language": "bash", "script": "true"}).status_code == 201
        assert api.get("/calendars/berlin").status_code == 200
        body = {"name": "n", "rule": "0 9 * * *", "calendar": "berlin"}
        assert api.post("/jobs/own/schedules", body).status_code == 201
        assert api.patch("/calendars/berlin", {"weekdays": []}).status_code == 403
        assert api.post("/calendars", {"name": "x"}).status_code == 403
        assert api.delete("/calendars/berlin").status_code == 403


@pytest.mark.usefixtures("no_package")
class TestWithoutThePackage:
    def test_a_country_is_refused_with_how_to_install_it(self, admin: Api) -> None:
        answer = admin.post("/calendars", {"name": "home", "country": "DE"})
        assert answer.status_code == 422
        assert f"pip install {national_holidays.REQUIREMENT}" in answer.json()["fields"]["country"][0]
        assert admin.post("/calendars", {"name": "home", "weekdays": ["sun"]}).status_code == 201

    def test_a_stored_one_is_a_problem_of_its_schedules(
        self, make_job: Callable[..., Job], viewer: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        calendar = Calendar.objects.create(name="home", country="DE")
        past = database_now() - timedelta(minutes=5)
        schedule = Schedule.objects.create(
            job=make_job(), name="n", rule="0 9 * * *", calendar=calendar, due_at=past, computed_for="1:h0.1:2020a"
        )
        assert fire_due(Tick(to_instant(database_now()), None)) == 1
        assert all(record.exc_info is None for record in caplog.records), "no traceback"
        shown = viewer.get(f"/schedules/{schedule.pk}").json()
        assert "The calendar home can't be used." in shown["problem"]
        assert "pip install" in shown["problem"]
        refresh_stale()
        assert Schedule.objects.get().due_at is None
        assert viewer.get("/calendars/home").json()["problem"]
        assert viewer.get("/calendars").status_code == 200


def test_after_the_package_is_installed_the_schedules_go_on(make_job: Callable[..., Job]) -> None:
    calendar = Calendar.objects.create(name="home", country="DE")
    values = {"rule": "0 9 * * *", "calendar": calendar, "problem": "not installed", "computed_for": ""}
    Schedule.objects.create(job=make_job(), name="n", due_at=None, **values)
    refresh_stale()
    stored = Schedule.objects.get()
    assert stored.due_at is not None
    assert stored.problem == ""
    assert f":h{national_holidays.find_version()}:" in stored.computed_for


def test_another_version_of_the_package_computes_again(make_schedule: Make, calendar: Calendar) -> None:
    schedule = make_schedule("0 9 * * *", calendar=calendar)
    wrong = at("2030-01-01T00:00")
    Schedule.objects.update(next_at=wrong)
    refresh_stale()
    assert Schedule.objects.get().next_at == wrong, "the stored time is valid"
    Schedule.objects.update(computed_for=schedule.computed_for.replace(":h0.", ":h9."))
    refresh_stale()
    assert Schedule.objects.get().next_at == schedule.next_at


def test_holidays_have_english_names_and_no_country_fails() -> None:
    assert set(national_holidays.list_holidays("DE", "BE", 2026).values()) >= {"Christmas Day", "Women's Day"}
    assert national_holidays.list_holidays("JP", "", 2026)
    assert national_holidays.list_countries()["US"] == "United States"
    for country in national_holidays.list_countries():
        assert isinstance(national_holidays.list_holidays(country, "", 2500), dict), country
