"""Cron rules across changes of the clock: E2, E3 and E4. Instants by tzdata 2026f."""

from collections.abc import Callable
from itertools import islice, pairwise

import pytest

from cron_rules import evaluate
from cron_rules.evaluate import (
    Occurrence,
    find_next,
    find_previous,
    iterate_before,
    list_changed,
    list_noted,
    list_times,
)
from cron_rules.rules import ClockRule, Rule
from tests.unit.cron_rules.instants import cron, format_first, format_instant, parse_instant

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"

FIXED = [
    # A label that comes twice runs in the first pass.
    ("30 2 * * *", BERLIN, "2026-10-24T22:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
    ("30 2 * * *", BERLIN, "2026-10-25T01:10", ["2026-10-26T01:30"]),
    ("45 1 * * *", LORD_HOWE, "2027-04-03T00:00", ["2027-04-03T14:45", "2027-04-04T15:15"]),
    ("0 0 * * *", "America/Havana", "2027-11-06T12:00", ["2027-11-07T04:00", "2027-11-08T05:00"]),
    ("0 3 * * *", "Pacific/Chatham", "2027-04-03", ["2027-04-03T13:15", "2027-04-04T14:15"]),
    # A label that doesn't exist runs at the end of the gap.
    ("30 2 * * *", BERLIN, "2027-03-27T12:00", ["2027-03-28T01:00", "2027-03-29T00:30"]),
    ("30 2 * * *", NEW_YORK, "2027-03-13", ["2027-03-13T07:30", "2027-03-14T07:00", "2027-03-15T06:30"]),
    ("15 2 * * *", LORD_HOWE, "2027-10-02", ["2027-10-02T15:30", "2027-10-03T15:15"]),
    ("0 0 * * *", "Africa/Cairo", "2027-04-29", ["2027-04-29T22:00", "2027-04-30T21:00"]),
    ("0 3 * * *", "Pacific/Chatham", "2027-09-25", ["2027-09-25T14:00"]),
    # Several labels in one gap, or one that falls on its end, are one run.
    ("0,30 2 * * *", BERLIN, "2027-03-27T12:00", ["2027-03-28T01:00", "2027-03-29T00:00"]),
    ("0 2,3 * * *", BERLIN, "2027-03-27T12:00", ["2027-03-28T01:00", "2027-03-29T00:00"]),
    # Larger than three hours: not run.
    ("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00", ["2011-12-29T22:00", "2011-12-30T22:00", "2011-12-31T22:00"]),
    # Seconds change nothing.
    ("0 30 2 * * *", BERLIN, "2026-10-24T22:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
    ("0 30 2 * * *", BERLIN, "2027-03-27T12:00", ["2027-03-28T01:00", "2027-03-29T00:30"]),
    ("*/10 30 2 * * *", BERLIN, "2027-03-27T12:00", ["2027-03-28T01:00", "2027-03-29T00:30"]),
]


@pytest.mark.parametrize(("rule", "zone", "after", "times"), FIXED)
def test_e3_e4_a_fixed_rule_has_each_time_once(rule: str, zone: str, after: str, times: list[str]) -> None:
    assert format_first(cron(rule, zone), after, len(times)) == times


@pytest.mark.parametrize(
    ("rule", "autumn", "spring"),
    [("*/15 * * * *", 100, 92), ("0 * * * *", 25, 23), ("0 0-23 * * *", 25, 23), ("*/15 2 * * *", 8, 0)],
)
def test_e3_e4_a_frequent_rule_follows_the_clock(rule: str, autumn: int, spring: int) -> None:
    parsed = cron(rule, BERLIN)
    days = [("2026-10-24T22:00", "2026-10-25T23:00"), ("2027-03-27T23:00", "2027-03-28T22:00")]
    times = [list_times(parsed, parse_instant(start), parse_instant(end)) for start, end in days]
    assert [len(found) for found in times] == [autumn, spring]
    if rule == "*/15 * * * *":
        assert all({later - earlier for earlier, later in pairwise(day)} == {900} for day in times)


def test_e4_a_frequent_rule_runs_in_both_passes() -> None:
    times = format_first(cron("*/15 2 * * *", BERLIN), "2026-10-24T22:00", 8)
    assert times == [f"2026-10-25T0{hour}:{minute:02}" for hour in (0, 1) for minute in (0, 15, 30, 45)]


def test_e3_a_gap_can_be_skipped() -> None:
    rule = cron("30 2 * * *", BERLIN, runs_after_gap=False)
    assert format_first(rule, "2027-03-27T12:00", 1) == ["2027-03-29T00:30"]


def test_e4_both_passes_can_be_chosen() -> None:
    rule = cron("30 2 * * *", BERLIN, runs_in_both_passes=True)
    assert format_first(rule, "2026-10-24T22:00", 3) == ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-26T01:30"]


@pytest.mark.parametrize(
    ("zone", "instant"),
    [
        ("America/Vancouver", "2026-11-27T16:00"),
        ("America/Edmonton", "2026-11-27T15:00"),
        ("Africa/Casablanca", "2026-11-27T09:00"),
        ("America/Havana", "2026-11-27T13:00"),
    ],
)
def test_zone_data_is_that_of_the_package(zone: str, instant: str) -> None:
    assert format_first(cron("0 9 * * *", zone), "2026-11-27", 1) == [instant]


def _describe(found: Occurrence) -> tuple[str, int, str]:
    return format_instant(found.at), len(found.labels), found.note


def _list_around(rule: str, zone: str, instant: str, **more: bool) -> list[tuple[str, int, str]]:
    parsed = cron(rule, zone, **more)
    assert isinstance(parsed, ClockRule)
    day = parsed.zone.get_day(parse_instant(instant))
    return [_describe(found) for found in list_changed(parsed, day, day)]


@pytest.mark.parametrize(
    ("rule", "instant", "more", "occurrences"),
    [
        ("30 2 * * *", "2027-03-28T12:00", {}, [("2027-03-28T01:00", 1, "moved")]),
        ("0,30 2 * * *", "2027-03-28T12:00", {}, [("2027-03-28T01:00", 2, "merged")]),
        ("30 2,3 * * *", "2027-03-28T12:00", {}, [("2027-03-28T01:00", 1, "moved"), ("2027-03-28T01:30", 1, "")]),
        ("0 2,3 * * *", "2027-03-28T12:00", {}, [("2027-03-28T01:00", 2, "merged")]),
        ("30 2 * * *", "2027-03-28T12:00", {"runs_after_gap": False}, [("2027-03-28T01:30", 1, "skipped")]),
        (
            "*/15 2 * * *",
            "2027-03-28T12:00",
            {},
            [(f"2027-03-28T01:{minute:02}", 1, "skipped") for minute in (0, 15, 30, 45)],
        ),
        ("30 2 * * *", "2026-10-25T12:00", {}, [("2026-10-25T00:30", 1, "doubled")]),
        (
            "*/30 2 * * *",
            "2026-10-25T12:00",
            {},
            [
                ("2026-10-25T00:00", 1, ""),
                ("2026-10-25T00:30", 1, ""),
                ("2026-10-25T01:00", 1, "doubled"),
                ("2026-10-25T01:30", 1, "doubled"),
            ],
        ),
    ],
)
def test_e3_e4_each_label_of_a_changed_day_is_told(
    rule: str, instant: str, more: dict[str, bool], occurrences: list[tuple[str, int, str]]
) -> None:
    assert _list_around(rule, BERLIN, instant, **more) == occurrences


def test_e3_a_day_that_is_missing_is_told() -> None:
    assert _list_around("0 12 * * *", "Pacific/Apia", "2011-12-29T20:00")[-1][0] == "2011-12-29T22:00"
    parsed = cron("0 12 * * *", "Pacific/Apia")
    assert isinstance(parsed, ClockRule)
    day = parsed.zone.get_day(parse_instant("2011-12-29T22:00"))
    assert [found.note for found in list_changed(parsed, day + 1, day + 1)] == ["skipped"]


def test_e4_the_clock_can_go_back_over_midnight() -> None:
    # 00:01 on 29 October 2006 became 23:01 on the day before.
    start, end = parse_instant("2006-10-29T02:00"), parse_instant("2006-10-29T04:15")
    times = list_times(cron("*/20 * * * *", "America/St_Johns"), start, end)
    minutes = [(found - start) // 60 for found in times]
    assert minutes == [10, 30, 50, 70, 90, 110, 130]
    for rule, first in (("30 23 28 10 *", "02:00"), ("0 0 29 10 *", "02:30")):
        found = list_times(cron(rule, "America/St_Johns"), start, end)
        assert [format_instant(instant)[11:] for instant in found] == [first]


@pytest.mark.parametrize("find", [find_next, find_previous])
@pytest.mark.parametrize("rule", ["* * * * * *", "* 0-59 0-22 * * *"])
def test_a_search_on_the_day_of_a_change_computes_a_part_of_it(
    find: Callable[[Rule, int], int | None], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    parsed, noon = cron(rule, BERLIN), parse_instant("2027-03-28T12:00")
    monkeypatch.setattr(evaluate, "Occurrence", lambda *given: made.append(1) or Occurrence(*given))
    assert find(parsed, noon) == noon + (1 if find is find_next else -1)
    assert 0 < len(made) <= 2 * 3600


def test_notes_far_from_a_change_compute_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "list_changed", None)
    evening = parse_instant("2027-03-28T12:00")
    assert list_noted(cron("* * * * * *", BERLIN), evening, evening + 6 * 3600) == []


def test_seconds_around_a_change() -> None:
    rule = cron("* * * * * *", BERLIN)
    for day, hours, note in (("2027-03-28", 23, "skipped"), ("2026-10-25", 25, "doubled")):
        end = parse_instant(f"{day}T22:00") + (3600 if hours == 25 else 0)
        times = list_times(rule, end - hours * 3600, end)
        assert times == list(range(end - hours * 3600, end))
        noted = list_noted(rule, end - hours * 3600, end)
        assert {found.note for found in noted} == {note}
        assert len(noted) == 3600
        assert list(islice(iterate_before(rule, end), len(times))) == times[::-1]
