"""The pages of schedules."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.schedules.forms import ScheduleForm, read_initial
from cronium_admin.schedules.models import Occurrence, Schedule
from tests.unit.schedules.conftest import fire

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>"
TYPED = {
    **{"name": "nightly", "kind": "cron", "rule": "30 2 * * *", "timezone": "Europe/Berlin", "overlap": "skip"},
    **{"missed": "latest", "missed_max": "10", "jitter_seconds": "0", "acts_as": "owner", "enabled": "on"},
}


@pytest.fixture
def editor_page(people: dict[str, User]) -> Client:
    return sign_in(people["editor"])


def sign_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def read(answer: Any) -> str:
    return unescape(answer.content.decode())


def test_a_schedule_is_created_shown_changed_and_deleted(editor_page: Client, make_job: Callable[..., Job]) -> None:
    make_job(slug="report", name="Report")
    assert "No schedules yet" in read(editor_page.get("/schedules/"))
    assert "New schedule" in read(editor_page.get("/jobs/report/schedules/new/"))
    answer = editor_page.post("/jobs/report/schedules/new/", TYPED)
    schedule = Schedule.objects.get()
    assert answer["Location"] == f"/schedules/{schedule.pk}/", read(answer)
    page = read(editor_page.get(answer["Location"]))
    assert "nightly is saved. Its next time is " in page
    assert "At 02:30, every day (Europe/Berlin)." in page
    assert "No time has come yet" in page
    assert "02:30 CE" in read(editor_page.get("/schedules/"))
    assert "nightly" in read(editor_page.get("/jobs/report/schedule-rows/"))
    changed = editor_page.post(f"/schedules/{schedule.pk}/edit/", TYPED | {"rule": "0 9 * * *", "version": "1"})
    assert changed.status_code == 302, read(changed)
    schedule.refresh_from_db()
    assert (schedule.rule, schedule.version) == ("0 9 * * *", 2)
    assert "Delete the schedule nightly?" in read(editor_page.get(f"/schedules/{schedule.pk}/delete/"))
    assert editor_page.post(f"/schedules/{schedule.pk}/delete/", {"version": "1"}).status_code == 409
    assert editor_page.post(f"/schedules/{schedule.pk}/delete/", {"version": "2"})["Location"] == "/schedules/"
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"name": ""}, "name", "Give the schedule a name."),
        ({"name": "a\nb"}, "name", "Must be one line of text"),
        ({"name": "x" * 200}, "name", "characters at most"),
        ({"rule": "60 * * * *"}, "rule", "60"),
        ({"rule": "0 0 30 2 *"}, "rule", "never"),
        ({"rule": ""}, "rule", ""),
        ({"rule": "9" * 9999}, "rule", "characters at most"),
        ({"timezone": "Mars/Base"}, "timezone", "is not a time zone"),
        ({"timezone": ""}, "timezone", "Choose a time zone."),
        ({"kind": "never"}, "kind", "is not one of the choices"),
        ({"kind": "interval"}, "every", "Give the seconds between two runs"),
        ({"kind": "interval", "every": "9" * 40}, "every", ""),
        ({"kind": "interval", "every": "x"}, "every", ""),
        ({"kind": "once"}, "at", "Give the time"),
        ({"kind": "once", "at": "tomorrow"}, "at", "Write a date and a time"),
        ({"kind": "once", "at": "2027-03-28T02:30"}, "at", "does not exist in Europe/Berlin"),
        ({"kind": "once", "at": "0001-01-01T00:00"}, "at", "The year must be in"),
        ({"kind": "calendar", "rule": "sometimes"}, "rule", ""),
        (
            {"starts_at": "2027-02-02T00:00", "ends_at": "2027-01-01T00:00"},
            "ends_at",
            "The end is not after the start.",
        ),
        ({"missed_max": "5000"}, "missed_max", "is not in 1 to 1000"),
        ({"missed_within": "999999", "missed_within_unit": "86400"}, "missed_within", ""),
        ({"jitter_seconds": "-1"}, "jitter_seconds", ""),
        ({"input": '{"a": }'}, "input", "line 1"),
        ({"overlap": "maybe"}, "overlap", "is not one of the choices"),
        ({"rule": "0 0 * * *\0"}, "rule", "NUL"),
    ],
)
def test_a_form_with_errors_names_the_field_and_keeps_what_was_typed(
    editor_page: Client, make_job: Callable[..., Job], typed: dict[str, str], field: str, words: str
) -> None:
    make_job(slug="report")
    sent = TYPED | {"name": "kept name", "input": '{"kept": 1}'} | typed
    answer = editor_page.post("/jobs/report/schedules/new/", sent)
    page = read(answer)
    assert answer.status_code == 422, page
    assert f'id="{field}-error"' in page
    assert words in page
    for name in {"name", "rule"} - {field}:
        assert sent[name] in page
    if "input" not in typed:
        assert '{"kept": 1}' in page
    assert not Schedule.objects.exists()


def test_several_errors_are_shown_at_once(editor_page: Client, make_job: Callable[..., Job]) -> None:
    make_job(slug="report")
    page = read(editor_page.post("/jobs/report/schedules/new/", TYPED | {"name": "", "rule": "60 * * * *"}))
    assert 'id="name-error"' in page
    assert 'id="rule-error"' in page


def test_the_name_of_another_schedule(editor_page: Client, make_schedule: Callable[..., Schedule]) -> None:
    schedule = make_schedule()
    answer = editor_page.post(f"/jobs/{schedule.job.slug}/schedules/new/", TYPED)
    assert answer.status_code == 409
    assert 'id="name-error"' in read(answer)


def test_a_conflict_shows_the_stored_values_and_keeps_the_typed_ones(
    editor_page: Client, make_schedule: Callable[..., Schedule], people: dict[str, User]
) -> None:
    schedule = make_schedule("0 4 * * *", timezone="Europe/Berlin")
    url = f"/schedules/{schedule.pk}/edit/"
    other = sign_in(people["admin"])
    assert other.post(url, TYPED | {"rule": "0 5 * * *", "version": "1"}).status_code == 302
    answer = editor_page.post(url, TYPED | {"rule": "0 6 * * *", "version": "1"})
    page = read(answer)
    assert answer.status_code == 409
    assert "admin saved version 2" in page
    assert '<span class="mono wrap-any">0 5 * * *</span>' in page
    assert 'value="0 6 * * *"' in page
    assert 'name="version" value="2"' in page
    assert editor_page.post(url, TYPED | {"rule": "0 6 * * *", "version": "2"}).status_code == 302


def test_a_schedule_deleted_meanwhile_can_be_created_again(
    editor_page: Client, make_schedule: Callable[..., Schedule]
) -> None:
    schedule = make_schedule()
    Schedule.objects.all().delete()
    url = f"/schedules/{schedule.pk}/edit/"
    answer = editor_page.post(url, TYPED | {"job": schedule.job.slug, "rule": "1 2 3 4 5"})
    page = read(answer)
    assert answer.status_code == 422
    assert "was deleted in the meantime" in page
    assert 'value="1 2 3 4 5"' in page
    assert f'action="/jobs/{schedule.job.slug}/schedules/new/"' in page
    assert editor_page.post(url, TYPED).status_code == 404


def test_the_preview_shows_times_words_and_clock_changes(editor_page: Client) -> None:
    sent = TYPED | {"starts_at": "2027-03-27T00:00", "ends_at": "2027-03-30T00:00"}
    page = read(editor_page.post("/schedules/preview/", sent))
    assert "<html" not in page
    assert "At 02:30, every day (Europe/Berlin)." in page
    assert "Sun 28 Mar 2027 03:00 CEST" in page
    assert "Moved: 02:30 does not exist on this day" in page
    assert "Sun 28 Mar 2027 01:00 UTC" in page
    assert page.count("<strong><time") == 3
    assert "time-zone data 20" in page


def test_the_preview_names_the_field_of_an_error(editor_page: Client) -> None:
    page = read(editor_page.post("/schedules/preview/", {"kind": "cron", "rule": "61 * * * *", "timezone": "UTC"}))
    assert re.search(r'id="rule-live" hx-swap-oob="true">\s*<p class="err" id="rule-error"', page)
    empty = editor_page.post("/schedules/preview/", {})
    assert empty.status_code == 200


def test_times_are_shown_without_script_and_nothing_is_stored(
    editor_page: Client, make_job: Callable[..., Job]
) -> None:
    make_job(slug="report")
    answer = editor_page.post("/jobs/report/schedules/new/", TYPED | {"then": "preview"})
    assert answer.status_code == 200
    assert read(answer).count("<strong><time") == 10
    assert not Schedule.objects.exists()


def test_a_form_that_differs_in_nothing_lists_no_stored_value(make_schedule: Callable[..., Schedule]) -> None:
    """A zero in a number field is a value like another."""
    schedule = make_schedule()
    form = ScheduleForm({**{name: str(value) for name, value in read_initial(schedule).items()}, "take_over": ""})
    assert form.list_differences(schedule) == []
    assert not form.more_is_open


def test_a_time_that_has_passed_is_named(editor_page: Client, make_job: Callable[..., Job]) -> None:
    make_job(slug="report")
    sent = TYPED | {"kind": "once", "at": "2020-01-01T00:00"}
    assert "This time has passed, so the schedule would never run." in read(
        editor_page.post("/schedules/preview/", sent)
    )
    page = read(editor_page.post("/jobs/report/schedules/new/", sent, follow=True))
    assert 'class="note warning' in page


def test_what_saving_changes(editor_page: Client, make_schedule: Callable[..., Schedule]) -> None:
    schedule = make_schedule("0 4 * * *")
    same = {**TYPED, "rule": "0 4 * * *", "timezone": "UTC", "schedule": str(schedule.pk)}
    assert "What saving changes" not in read(editor_page.post("/schedules/preview/", same))
    page = read(editor_page.post("/schedules/preview/", same | {"rule": "0 4 * * 1"}))
    assert "What saving changes" in page
    assert "Nothing of the past is run." in page
    assert "365" in page
    disabled = {name: value for name, value in same.items() if name != "enabled"}
    assert "<strong>none</strong>" in read(editor_page.post("/schedules/preview/", disabled))


def test_an_unchanged_form_changes_nothing(editor_page: Client, make_schedule: Callable[..., Schedule]) -> None:
    """Also for an instant in the second pass of a local hour, and for seconds with a fraction."""
    second_pass = database_now().replace(year=2026, month=10, day=25, hour=1, minute=30, second=7, microsecond=9)
    schedule = make_schedule(
        "",
        kind="interval",
        every_seconds=5400,
        anchor=second_pass,
        timezone="Europe/Berlin",
        missed_within_seconds=90,
        input={"a": [1, None]},
    )
    page = read(editor_page.get(f"/schedules/{schedule.pk}/edit/"))
    sent = dict(re.findall(r'<input [^>]*?name="([a-z_]+)"[^>]*? value="([^"]*)"', page))
    for name, body in re.findall(r'<select [^>]*name="([a-z_]+)"[^>]*>(.*?)</select>', page):
        sent[name] = re.findall(r'value="([^"]*)" selected', body)[0]
    sent |= {"kind": "interval", "enabled": "on", "input": '{"a": [1, null]}'}
    del sent["csrfmiddlewaretoken"]
    assert (sent["every"], sent["every_unit"]) == ("90", "60")
    answer = editor_page.post(f"/schedules/{schedule.pk}/edit/", sent)
    assert answer.status_code == 302, read(answer)
    stored = Schedule.objects.get()
    assert (stored.version, stored.anchor) == (1, second_pass)


def test_enable_disable_and_the_owner(
    editor_page: Client, make_schedule: Callable[..., Schedule], people: dict[str, User]
) -> None:
    schedule = make_schedule("0 4 * * *")
    url = f"/schedules/{schedule.pk}/"
    editor_page.post(f"{url}switch/", {"enabled": "off"})
    page = read(editor_page.get(url))
    assert not Schedule.objects.get().enabled
    assert "None while it is disabled" in page
    editor_page.post(f"{url}switch/", {"enabled": "on"})
    assert "Nothing of the past is run." in read(editor_page.get(url))
    assert Schedule.objects.get().enabled
    sent = TYPED | {"take_over": "on", "version": str(Schedule.objects.get().version)}
    assert editor_page.post(f"{url}edit/", sent).status_code == 302
    assert Schedule.objects.get().owner == people["editor"]


def test_the_ledger_filters_and_pages(
    people: dict[str, User], make_schedule: Callable[..., Schedule], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cronium_admin.schedules.ledger_views.LEDGER_SIZE", 2)
    schedule = make_schedule(cursor="2026-11-26T01:30", missed="none", overlap="allow")
    fire(schedule, "2026-11-26T05:30", ("2026-11-26T01:30", "2026-11-26T05:30"))
    fire(schedule, "2026-11-26T06:00")
    fire(schedule, "2026-11-26T07:00")
    viewer = sign_in(people["viewer"])
    page = read(viewer.get(f"/schedules/{schedule.pk}/"))
    assert ">07:00 <" in page
    assert "Thursday 26 November" in page
    assert '<span class="num">6</span> planned' in page
    assert f"/runs/{Run.objects.get(number=2).pk}/" in page
    assert "4 times" not in page
    older = re.findall(r'href="[^"]*(\?after=[^"]+)"', page)[0]
    assert "4 times" in read(viewer.get(f"/schedules/{schedule.pk}/{older}"))
    differs = read(viewer.get(f"/schedules/{schedule.pk}/?only=differs"))
    assert "4 times" in differs
    assert ">07:00 <" not in differs
    assert viewer.get(f"/schedules/{schedule.pk}/?after=nonsense").status_code == 200


def test_missed_times_are_run_by_operators(people: dict[str, User], make_schedule: Callable[..., Schedule]) -> None:
    schedule = make_schedule(cursor="2026-11-26T01:30", missed="none")
    fire(schedule, "2026-11-26T05:30", ("2026-11-26T01:30", "2026-11-26T05:30"))
    url = f"/schedules/{schedule.pk}/"
    operator, viewer = sign_in(people["operator"]), sign_in(people["viewer"])
    assert "run-missed/" in read(operator.get(url))
    assert "run-missed/" not in read(viewer.get(url))
    assert "/edit/" not in read(operator.get(url))
    operator.post(f"{url}run-missed/", {"count": "2"})
    assert "2 missed times run now." in read(operator.get(url))
    for count in ("0", "101", "x", "-1", "9" * 50):
        operator.post(f"{url}run-missed/", {"count": count})
        assert "must be in 1 to 100" in read(operator.get(url)), count
    assert Run.objects.count() == 2
    operator.post(f"{url}run-missed/", {"count": "100"})
    operator.post(f"{url}run-missed/", {"count": "1"})
    assert "has no missed times" in read(operator.get(url))


def test_hostile_texts_are_escaped(editor_page: Client, make_schedule: Callable[..., Schedule]) -> None:
    schedule = make_schedule("0 4 * * *", name=HOSTILE, problem=HOSTILE, input={"a": HOSTILE})
    Job.objects.update(name=HOSTILE)
    Occurrence.objects.create(
        schedule=schedule,
        nominal_at=database_now(),
        last_nominal_at=database_now() + timedelta(hours=1),
        rule_number=1,
        state="missed",
        reason=HOSTILE,
        count=3,
    )
    base = f"/schedules/{schedule.pk}/"
    for url in ("/schedules/", base, f"{base}edit/", f"{base}delete/", f"/jobs/{schedule.job.slug}/schedule-rows/"):
        page = editor_page.get(url).content.decode()
        assert HOSTILE not in page, url
        assert "&lt;script&gt;" in page, url
    sent = dict.fromkeys(TYPED, HOSTILE)
    for url in (f"{base}edit/", "/schedules/preview/"):
        assert HOSTILE not in editor_page.post(url, sent).content.decode(), url


def test_a_rule_that_this_version_refuses_has_a_page(
    editor_page: Client, make_schedule: Callable[..., Schedule]
) -> None:
    schedule = make_schedule()
    Schedule.objects.update(timezone="Gone/Place", rule="nonsense")
    for url in ("/schedules/", f"/schedules/{schedule.pk}/", f"/schedules/{schedule.pk}/edit/"):
        answer = editor_page.get(url)
        assert answer.status_code == 200, url
        assert "Gone/Place" in read(answer)
    url = f"/schedules/{schedule.pk}/"
    assert editor_page.post(f"{url}switch/", {"enabled": "off"}).status_code == 302
    assert "is disabled" in read(editor_page.get(url))
    assert editor_page.post(f"{url}switch/", {"enabled": "on"}).status_code == 302
    assert "Not saved: 'Gone/Place' is not a time zone." in read(editor_page.get(url))
    assert editor_page.post(f"{url}edit/", TYPED | {"version": "2"}).status_code == 302
    assert Schedule.objects.get().rule == "30 2 * * *"


def test_the_list_is_filtered(editor_page: Client, make_schedule: Callable[..., Schedule]) -> None:
    first = make_schedule(name="nightly report")
    make_schedule(name="hourly sync")
    assert "hourly sync" not in read(editor_page.get("/schedules/?q=REPORT+night"))
    assert "hourly sync" not in read(editor_page.get(f"/schedules/?job={first.job.slug}"))
    assert "No schedule matches" in read(editor_page.get("/schedules/?q=nothing"))
    for query in ("?after=x", "?q=%00", "?job=%00", "?q=" + "a+" * 200):
        assert editor_page.get(f"/schedules/{query}").status_code == 200


@pytest.mark.parametrize("pk", [2**63, 10**30])
def test_odd_ids_are_not_found(editor_page: Client, pk: int) -> None:
    for path in ("", "edit/", "delete/"):
        assert editor_page.get(f"/schedules/{pk}/{path}").status_code == 404
    assert editor_page.post("/schedules/preview/", TYPED | {"schedule": str(pk)}).status_code in (200, 404)
