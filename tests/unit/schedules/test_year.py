"""A year ahead: the runs of each day in the preview, on the form and on the page of a schedule."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from cron_rules.plan import Plan
from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.rules import RuleFields, build_closures, build_rule
from cronium_admin.schedules.year import YearDay, build_year, list_days
from tests.conftest import Api
from tests.unit.schedules.conftest import at, instant

pytestmark = pytest.mark.django_db
BERLIN = "Europe/Berlin"


def list_of(rule: str, after: str, days: int, **values: str) -> list[YearDay]:
    fields = RuleFields(rule=rule, timezone=BERLIN, **values)
    return list_days(Plan(build_rule(fields), build_closures(fields)), BERLIN, instant(after), days)


def test_the_preview_counts_the_days(admin: Api) -> None:
    body = {
        "rule": "*/15 * * * *",
        "timezone": BERLIN,
        "after": "2027-03-27T20:00:00Z",
        "blackouts": ["sun 02:00-03:30"],
    }
    answer = admin.post("/schedules/preview", {**body, "days": 3}).json()
    # The days are local: 21:15 to 23:45 local; the day of 23 hours, without 03:00 and 03:15; a whole day.
    assert [(day["date"], day["count"], day["closed"]) for day in answer["days"]] == [
        ("2027-03-27", 11, 0),
        ("2027-03-28", 90, 2),
        ("2027-03-29", 96, 0),
    ]
    note = "the clock goes forward by 1 h at 02:00; 2 times do not run: blackout sun 02:00-03:30"
    assert [day["note"] for day in answer["days"]] == ["", note, ""]
    assert "days" not in admin.post("/schedules/preview", body).json()


@pytest.mark.parametrize("days", [-1, 401, "3", 1.5, None])
def test_odd_numbers_of_days_are_refused(admin: Api, days: object) -> None:
    answer = admin.post("/schedules/preview", {"rule": "0 2 * * *", "days": days})
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == ["days"]


def test_a_moved_time_is_named() -> None:
    day = list_of("30 2 * * *", "2027-03-28T00:30:00", 1)[0]
    assert (day.level, day.clock_changes, day.is_closed) == ("one", True, False)
    assert day.text.startswith("Sun 28 March 2027: 1 run; the clock goes forward by 1 h at 02:00; moved: 02:30")


@pytest.mark.parametrize(
    ("rule", "level"), [("0 0 1 1 *", "none"), ("0 0 * * *", "one"), ("0 * * * *", "few"), ("*/30 * * * *", "many")]
)
def test_levels(rule: str, level: str) -> None:
    assert list_of(rule, "2027-05-05T22:00:00", 2)[1].level == level


def test_months_have_whole_weeks() -> None:
    fields = RuleFields(rule="0 9 * * 1", timezone=BERLIN)
    year = build_year(Plan(build_rule(fields)), BERLIN, instant("2026-11-29T12:00:00"))
    assert (year.months[0].name, year.months[-1].name, len(year.months)) == ("November 2026", "November 2027", 13)
    assert all(len(week) == 7 for month in year.months for week in month.weeks)
    days = [day for month in year.months for week in month.weeks for day in week if day]
    assert (len(days), days[0].date.isoformat(), days[-1].date.isoformat()) == (366, "2026-11-29", "2027-11-29")
    assert year.total == sum(day.count for day in days) == 53
    assert [day.date.isoformat() for day in year.marked] == ["2027-03-28", "2027-10-31"]


def test_the_pages(people: dict[str, User], job: Job, make_schedule: Callable[..., Schedule]) -> None:
    signed_in = Client()
    signed_in.force_login(people["editor"])
    values = {"job": job.slug, "kind": "cron", "rule": "0 2 * * *", "timezone": BERLIN}
    shown = signed_in.post(reverse("schedules:preview"), values).content.decode()
    assert '<section id="year"' in shown
    assert 'hx-swap-oob="true"' in shown
    assert re.search("36[56] runs in the next 366 days", shown)
    wrong = signed_in.post(reverse("schedules:preview"), {**values, "rule": "61 2 * * *"}).content.decode()
    assert '<section id="year"' in wrong
    assert "A year ahead" not in wrong
    schedule = make_schedule("0 2 * * *", timezone=BERLIN, cursor="2999-01-01T00:00", ends_at=at("2999-01-02T12:00"))
    page = signed_in.get(reverse("schedules:schedule", args=[schedule.pk])).content.decode()
    assert "2 runs in the next 366 days" in page
    Schedule.objects.update(enabled=False)
    assert "A year ahead" not in signed_in.get(reverse("schedules:schedule", args=[schedule.pk])).content.decode()
