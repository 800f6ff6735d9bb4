"""The load of hours, by hand-made runs."""

from datetime import UTC, datetime

import pytest

from cron_rules.month_days import EPOCH
from cron_rules.zones import load_zone
from cronium_admin.planning.herds import (
    Start,
    change_minute,
    find_hashed_minute,
    find_herds,
    list_offers,
    list_quiet_minutes,
)
from cronium_admin.planning.load import HourLoad, Steady, list_hours, place_runs, sum_hours

BERLIN = load_zone("Europe/Berlin")


def day_of(year: int, month: int, day: int) -> int:
    return datetime(year, month, day, tzinfo=UTC).date().toordinal() - EPOCH


def test_hours_of_a_change_of_the_clock() -> None:
    spring = list_hours(BERLIN, day_of(2027, 3, 28), 1)
    autumn = list_hours(BERLIN, day_of(2027, 10, 31), 1)
    assert [hour.hour for hour in spring] == [0, 1, *range(3, 24)]
    assert [hour.hour for hour in autumn] == [0, 1, 2, 2, *range(3, 24)]
    assert all(hour.end - hour.start == 3600 for hour in (*spring, *autumn))
    half = list_hours(load_zone("Australia/Lord_Howe"), day_of(2027, 4, 4), 1)
    assert sum(hour.end - hour.start for hour in half) == 24 * 3600 + 1800


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("allow", [(0, 90), (60, 150), (120, 210), (300, 390)]),
        ("skip", [(0, 90), (120, 210), (300, 390)]),
        ("cancel_running", [(0, 60), (60, 120), (120, 210), (300, 390)]),
        ("queue_all", [(0, 90), (90, 180), (180, 270), (300, 390)]),
    ],
)
def test_runs_by_overlap_policy(overlap: str, expected: list[tuple[int, int]]) -> None:
    assert place_runs([0, 60, 120, 300], 90, overlap) == expected


def test_one_waiting_run() -> None:
    assert place_runs([0, 10, 20, 30], 100, "queue_one") == [(0, 100), (100, 200)]


def test_load_of_hours() -> None:
    hours = list_hours(load_zone("UTC"), 0, 1)[:3]
    # One run over three hours; two that meet at 01:00 without overlap; one before the hours.
    spans = [(1800, 9000), (3000, 3600), (3600, 4200), (-600, 60)]
    loads = sum_hours(spans, [], hours, 0)
    assert [(load.runs, round(load.minutes, 3), load.peak) for load in loads] == [(2, 41, 2), (1, 70, 2), (0, 30, 1)]


def test_load_of_steady_runs() -> None:
    hours = list_hours(load_zone("UTC"), 0, 1)
    # The counts of the day are those after 01:30.
    once = sum_hours([], [Steady({0: 81_000}, 2, False)], hours, 5400)
    assert once[5] == HourLoad(3600, 60, 1)
    assert [once[0].runs, once[1].runs] == [0, 1800]
    beside = sum_hours([], [Steady({0: 81_000}, 2, True)], hours, 5400)
    assert beside[5] == HourLoad(3600, 120, 2)


def test_herds_by_schedules_and_by_capacity() -> None:
    two = [Start(day, 120, schedule) for day in (3, 4) for schedule in range(5)]
    other = [Start(3, 200, 7), Start(3, 200, 8), Start(3, 200, 9)]
    herds = find_herds([*two, *other], 4)
    assert [(herd.minute, herd.days, herd.schedules, herd.runs) for herd in herds] == [
        (120, (3, 4), (0, 1, 2, 3, 4), 5)
    ]
    assert [herd.minute for herd in find_herds([*two, *other], 1)] == [120, 200]
    assert find_herds([*two[:4], *other], 0) == []


def test_quieter_minutes() -> None:
    starts = [Start(0, 120 + minute, 1) for minute in range(60) if minute not in {17, 44}] + [Start(0, 17, 1)]
    assert sorted(list_quiet_minutes(starts, 2)[:2]) == [17, 44]
    assert 0 not in list_quiet_minutes([], 2)


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("0 2 * * *", "H 2 * * *"),
        ("0 30 2 * * 1", "0 H 2 * * 1"),
        ("15 30 2 * * 1", None),
        ("*/5 2 * * *", None),
        ("@daily", None),
        ("0,30 2 * * *", None),
    ],
)
def test_the_rule_with_another_minute(rule: str, changed: str | None) -> None:
    assert change_minute(rule, "H") == changed


def test_offers() -> None:
    hashed = find_hashed_minute("H 2 * * *", "7")
    assert hashed is not None
    assert list_offers("0 2 * * *", "7", [44, 17], 1) == [("H 2 * * *", hashed), ("17 2 * * *", 17)]
    assert list_offers("0,30 2 * * *", "7", [44, 17], 1) == []
