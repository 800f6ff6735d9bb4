"""The counts of days are those of the listed times, also on days on which the clock changes."""

from collections import Counter
from datetime import UTC, date, datetime
from itertools import takewhile

import pytest

from cron_rules import day_counts
from cron_rules.blackout import parse_windows
from cron_rules.closed_days import ClosedDays
from cron_rules.cron import parse_cron
from cron_rules.day_counts import DayCount, count_days
from cron_rules.evaluate import list_times
from cron_rules.month_days import EPOCH
from cron_rules.plan import Closures, Plan
from cron_rules.rules import IntervalRule, OnceRule, Rule
from cron_rules.zones import DAY, load_zone

BERLIN = load_zone("Europe/Berlin")


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def day_of(text: str) -> int:
    return date.fromisoformat(text).toordinal() - EPOCH


def list_expected(plan: Plan, zone: str, after: int, days: int) -> list[tuple[int, int, int]]:
    place = load_zone(zone)
    first = place.get_day(after)
    runs, closed = Counter[int](), Counter[int]()
    for time in takewhile(lambda found: place.get_day(found.at) < first + days, plan.iterate(after)):
        (runs if time.runs else closed)[place.get_day(time.at)] += 1
    return [(day, runs[day], closed[day]) for day in range(first, first + days)]


def strip(counts: list[DayCount]) -> list[tuple[int, int, int]]:
    return [(count.day, count.count, count.closed) for count in counts]


ZONES = ["Europe/Berlin", "America/Havana", "Africa/Cairo", "Australia/Lord_Howe", "Antarctica/Troll"]
RULES = ["30 0,2 * * *", "*/30 * * * *", "0,30 2,3 * * *", "*/10 0-3 * * 0", "0 0 L * *"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("runs_after_gap", [True, False])
def test_a_year_has_the_counts_of_the_listed_times(zone: str, rule: str, runs_after_gap: bool) -> None:
    place = load_zone(zone)
    parsed = parse_cron(rule, place, runs_after_gap=runs_after_gap, runs_in_both_passes=not runs_after_gap)
    windows = ["01:10-02:40 backup", "sat 22:00-sun 02:30", "2027-03-20 12:00 - 2027-03-28 03:30 move"]
    after = instant("2026-11-27T01:31:00")
    plan = Plan(parsed, Closures(place, parse_windows(windows, place)) if runs_after_gap else None)
    assert strip(count_days(plan, place, after, 400)) == list_expected(plan, zone, after, 400)


@pytest.mark.parametrize("rule", [IntervalRule(5_400, instant("2027-01-05T03:17:11")), OnceRule(instant("2027-01-09"))])
def test_rules_without_days(rule: Rule) -> None:
    windows = parse_windows(["09:00-11:00", "fri 23:00-sat 05:00"], BERLIN)
    for plan in (Plan(rule), Plan(rule, Closures(BERLIN, windows))):
        after = instant("2026-12-31T22:30:00")
        assert strip(count_days(plan, BERLIN, after, 300)) == list_expected(plan, "Europe/Berlin", after, 300)


@pytest.mark.parametrize("moves", [False, True])
def test_closed_days(moves: bool) -> None:
    days = ClosedDays("office", frozenset({5, 6}), {day_of("2026-12-25"): "Christmas"})
    plan = Plan(parse_cron("30 2,14 * * *", BERLIN), Closures(BERLIN, (), days, moves))
    after = instant("2026-12-20T12:00:00")
    counts = count_days(plan, BERLIN, after, 200)
    assert strip(counts) == list_expected(plan, "Europe/Berlin", after, 200)
    christmas = counts[day_of("2026-12-25") - counts[0].day]
    assert (christmas.count, christmas.closed) == (0, 0 if moves else 2)
    assert christmas.reasons == ["closed: Christmas (calendar office)"]


def test_exact_days_of_a_change_of_the_clock() -> None:
    def count(rule: str, day: str) -> DayCount:
        plan = Plan(parse_cron(rule, BERLIN))
        return count_days(plan, BERLIN, instant(f"{day}T00:00:00") - DAY // 2, 2)[1]

    spring, autumn = count("*/15 * * * *", "2027-03-28"), count("*/15 * * * *", "2027-10-31")
    assert (spring.count, autumn.count) == (92, 100)
    assert spring.change is not None
    assert autumn.change is not None
    assert (spring.change.after - spring.change.before, autumn.change.after - autumn.change.before) == (3600, -3600)
    assert (count("30 2 * * *", "2027-03-28").count, count("30 2 * * *", "2027-10-31").count) == (1, 1)
    assert (count("0 0-23 * * *", "2027-03-28").count, count("0 0-23 * * *", "2027-10-31").count) == (23, 25)


def test_start_and_end_count() -> None:
    plan = Plan(parse_cron("0 * * * *", BERLIN), None, instant("2027-01-02T10:00"), instant("2027-01-04T10:00"))
    counts = count_days(plan, BERLIN, instant("2027-01-01T12:00"), 5)
    assert [count.count for count in counts] == [0, 12, 24, 12, 0]


def test_a_run_a_second_for_a_year_lists_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[int] = []

    def list_and_count(rule: Rule, start: int, end: int) -> list[int]:
        found = list_times(rule, start, end)
        listed.append(len(found))
        return found

    monkeypatch.setattr(day_counts, "list_times", list_and_count)
    windows = parse_windows(["02:15-02:45", "mon-fri 08:00-18:00"], BERLIN)
    plan = Plan(parse_cron("* * * * * *", BERLIN), Closures(BERLIN, windows))
    counts = count_days(plan, BERLIN, instant("2026-12-31T22:59:59"), 366)[1:]
    span = 365 * DAY
    weekdays = sum((day + 3) % 7 < 5 for day in range(counts[0].day, counts[-1].day + 1))
    assert sum(count.count + count.closed for count in counts) == span
    # The half hour does not exist on one day, and comes twice on another.
    assert sum(count.closed for count in counts) == 365 * 1800 + weekdays * 36_000
    assert sum(listed) <= 2 * 2 * 3600  # an hour before and after each change


def test_the_ends_of_time() -> None:
    plan = Plan(parse_cron("0 0 * * *", BERLIN))
    assert count_days(plan, BERLIN, instant("9999-12-31T23:59:59"), 366) == []
    assert [count.count for count in count_days(plan, BERLIN, -(10**10), 3)] == [1, 1, 1]
