"""The ledger on the page of a schedule: filters, counters, days, single times, and what is asked for again."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.schedules import ledger_page
from cronium_admin.schedules.ledger_page import LedgerFilter, count_states, list_single_times, split_by_day
from cronium_admin.schedules.models import Occurrence, Schedule
from tests.unit.schedules.conftest import at, fire
from tests.unit.schedules.test_pages import read, sign_in

pytestmark = pytest.mark.django_db
Make = Callable[..., Schedule]


def add(
    schedule: Schedule, first: str, state: str = "ran", last: str = "", count: int = 1, **values: Any
) -> Occurrence:
    values = {"rule_number": schedule.rule_number, "state": state, "count": count, **values}
    return Occurrence.objects.create(
        schedule=schedule, nominal_at=at(first), last_nominal_at=at(last or first), **values
    )


def test_counters_count_times_and_filter(make_schedule: Make) -> None:
    schedule = make_schedule()
    add(schedule, "2026-11-26T01:00")
    add(schedule, "2026-11-26T02:00", "missed", "2026-11-26T06:00", 5)
    add(schedule, "2026-11-26T07:00", "late")
    counters, is_partial = count_states(schedule, LedgerFilter(state="missed"))
    assert [(each.state, each.count, each.is_chosen) for each in counters] == [
        ("", 7, False),
        ("ran", 1, False),
        ("late", 1, False),
        ("missed", 5, True),
    ]
    assert counters[2].query == "state=late&"
    assert not is_partial


def test_counters_read_a_bounded_number_of_rows(make_schedule: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_page, "MAX_COUNTED", 2)
    schedule = make_schedule()
    for hour in range(1, 5):
        add(schedule, f"2026-11-26T0{hour}:00", "missed" if hour == 1 else "ran")
    counters, is_partial = count_states(schedule, LedgerFilter())
    assert [(each.state, each.count) for each in counters] == [("", 2), ("ran", 2)]
    assert is_partial
    [day] = split_by_day(schedule, list(schedule.occurrences.all()))
    assert day.planned is None


def test_a_period_counts_its_times_only(make_schedule: Make) -> None:
    schedule = make_schedule()
    for days in (0.5, 3, 20, 60):
        moment = (database_now() - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M")
        add(schedule, moment)
    found = {period: count_states(schedule, LedgerFilter(period=period))[0][0].count for period in ledger_page.PERIODS}
    assert found == {"24h": 1, "7d": 2, "30d": 3, "": 4}


def test_days_are_those_of_the_zone_of_the_schedule(make_schedule: Make) -> None:
    """Also on a day of 25 hours; the sums are those of the whole day, whatever the page shows."""
    schedule = make_schedule(timezone="Europe/Berlin")
    add(schedule, "2025-10-25T21:30")
    first = add(schedule, "2025-10-25T22:00", "missed")
    add(schedule, "2025-10-26T00:30")
    last = add(schedule, "2025-10-26T22:59", "late")
    add(schedule, "2025-10-26T23:00")
    days = split_by_day(schedule, [last, first])
    assert [(day.label, len(day.items), day.planned, day.ran) for day in days] == [("Sunday 26 October 2025", 2, 3, 1)]
    labels = [
        ledger_page.format_day(at(f"2026-11-{day}T00:00").date(), at("2026-11-29T00:00").date()) for day in (28, 29)
    ]
    assert labels == ["Yesterday, Saturday 28 November", "Today, Sunday 29 November"]


def test_single_times_come_from_the_rule(make_schedule: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = make_schedule("*/15 * * * *")
    row = add(schedule, "2026-11-26T01:00", "missed", "2026-11-26T02:00", 5)
    found = list_single_times(schedule, row)
    assert [f"{time:%H:%M}" for time in found.times] == ["02:00", "01:45", "01:30", "01:15", "01:00"]
    assert found.before is None
    monkeypatch.setattr(ledger_page, "MAX_SINGLE", 3)
    first = list_single_times(schedule, row)
    rest = list_single_times(schedule, row, first.before)
    assert [f"{time:%H:%M}" for time in (*first.times, *rest.times)] == ["02:00", "01:45", "01:30", "01:15", "01:00"]
    row.rule_number = 7
    assert "rule has changed" in list_single_times(schedule, row).problem


def test_single_times_of_a_gap(make_schedule: Make) -> None:
    schedule = make_schedule("* 2 * * *", timezone="Europe/Berlin")
    row = add(schedule, "2027-03-28T01:00", "gap", "2027-03-28T01:59", 60)
    found = list_single_times(schedule, row)
    assert (found.labels[0], found.labels[-1], len(found.labels)) == ("02:59", "02:00", 60)


def test_single_times_are_a_part_or_a_page(people: dict[str, User], make_schedule: Make) -> None:
    schedule, other = make_schedule("*/15 * * * *"), make_schedule()
    row = add(schedule, "2026-11-26T01:00", "missed", "2026-11-26T02:00", 5, reason="Cronium did not run")
    viewer = sign_in(people["viewer"])
    url = f"/schedules/{schedule.pk}/times/{row.pk}/"
    part = read(viewer.get(url, headers={"HX-Request": "true"}))
    assert part.count("<li>") == 5
    assert "<html" not in part
    page = read(viewer.get(url))
    assert page.count("<li><time") == 5
    assert "Cronium did not run" in page
    assert viewer.get(f"/schedules/{other.pk}/times/{row.pk}/").status_code == 404
    assert viewer.get(f"/schedules/{schedule.pk}/times/{10**30}/").status_code == 404
    for odd in ("x", "-1", "9" * 50):
        assert viewer.get(f"{url}?before={odd}").status_code == 200, odd


def test_the_page_asks_again_and_gets_nothing_twice(people: dict[str, User], make_schedule: Make) -> None:
    schedule = make_schedule()
    viewer = sign_in(people["viewer"])
    page = read(viewer.get(f"/schedules/{schedule.pk}/?period=7d"))
    poll = re.findall(r'hx-get="(/schedules/\d+/ledger/\?[^"]+)"', page)[0]
    assert "period=7d" in poll
    assert viewer.get(poll).status_code == 204
    fire(schedule, "2026-11-26T01:00")
    changed = viewer.get(f"/schedules/{schedule.pk}/ledger/?v={poll.rpartition('=')[2]}")
    assert changed.status_code == 200
    assert "<html" not in read(changed)
    assert "#1" in read(changed)


def test_planned_times_stand_on_top(people: dict[str, User], make_schedule: Make) -> None:
    schedule = make_schedule("0 0 1 * *", blackouts="2030-01-01 00:00 - 2030-01-01 01:00 freeze")
    Schedule.objects.update(cursor_at=at("2029-12-15T00:00"))
    viewer = sign_in(people["viewer"])
    page = read(viewer.get(f"/schedules/{schedule.pk}/"))
    assert page.count('class="planned"') == 3
    assert "freeze" in page
    assert page.index("Mar 2030 00:00 UTC") < page.index("Jan 2030 00:00 UTC")
    assert 'class="planned"' not in read(viewer.get(f"/schedules/{schedule.pk}/?state=missed"))
    Schedule.objects.update(enabled=False)
    assert 'class="planned"' not in read(viewer.get(f"/schedules/{schedule.pk}/"))


@pytest.mark.parametrize("query", ["state=nonsense", "period=1y", "state=%00&period=%00", "only=differs", "v=x"])
def test_odd_filters(editor_page: Client, make_schedule: Make, query: str) -> None:
    schedule = make_schedule()
    for path in ("", "ledger/"):
        assert editor_page.get(f"/schedules/{schedule.pk}/{path}?{query}").status_code == 200


@pytest.fixture
def editor_page(people: dict[str, User]) -> Client:
    return sign_in(people["editor"])
