"""Zones whose clocks change in odd ways: E3 and E4. Each instant follows from the transition that is named."""

from itertools import pairwise

import pytest

from cron_rules.evaluate import find_previous, list_times
from tests.unit.cron_rules.instants import cron, format_first, parse_instant

CASES = {
    # 2027-03-27T00:00Z: 02:00 becomes 03:00, on a Saturday
    "gaza_gap": ("30 2 * * *", "Asia/Gaza", "2027-03-26T12:00", ["2027-03-27T00:00", "2027-03-27T23:30"]),
    # 2027-10-29T23:00Z: 02:00 becomes 01:00
    "gaza_repeat": ("30 1 * * *", "Asia/Gaza", "2027-10-29T12:00", ["2027-10-29T22:30", "2027-10-30T23:30"]),
    # 2026-02-15T02:00Z: 03:00 becomes 02:00 for Ramadan, back at 2026-03-22T02:00Z, and for good at 2026-09-20T01:00Z
    "casablanca_repeat": (
        "30 2 * * *",
        "Africa/Casablanca",
        "2026-02-14T12:00",
        ["2026-02-15T01:30", "2026-02-16T02:30"],
    ),
    "casablanca_gap": ("30 2 * * *", "Africa/Casablanca", "2026-03-21T12:00", ["2026-03-22T02:00", "2026-03-23T01:30"]),
    "casablanca_last": (
        "30 1 * * *",
        "Africa/Casablanca",
        "2026-09-19T12:00",
        ["2026-09-20T00:30", "2026-09-21T01:30"],
    ),
    # 2024-03-31T01:00Z: 23:00 on the 30th becomes 00:00 on the 31st
    "nuuk_gap_before_midnight": (
        "30 23 * * *",
        "America/Nuuk",
        "2024-03-30T12:00",
        ["2024-03-31T01:00", "2024-04-01T00:30"],
    ),
    "nuuk_gap_of_that_day": (
        "30 23 30 3 *",
        "America/Nuuk",
        "2024-03-30T12:00",
        ["2024-03-31T01:00", "2025-03-31T00:30"],
    ),
    "nuuk_two_days_are_one_run": (
        *("0,30 0,23 * * *", "America/Nuuk", "2024-03-30T12:00"),
        ["2024-03-31T01:00", "2024-03-31T01:30", "2024-04-01T00:00"],
    ),
    # 2024-10-27T01:00Z: 00:00 on the 27th becomes 23:00 on the 26th
    "nuuk_repeat": ("30 23 * * *", "America/Nuuk", "2024-10-26T12:00", ["2024-10-27T00:30", "2024-10-28T01:30"]),
    "nuuk_midnight_comes_once": (
        "0 0 * * *",
        "America/Nuuk",
        "2024-10-26T12:00",
        ["2024-10-27T02:00", "2024-10-28T02:00"],
    ),
    # 2027-03-28T01:00Z: 01:00 becomes 03:00; 2027-10-31T01:00Z: 03:00 becomes 01:00
    "troll_gap_of_two_hours": (
        "30 1,2 * * *",
        "Antarctica/Troll",
        "2027-03-27T12:00",
        ["2027-03-28T01:00", "2027-03-28T23:30"],
    ),
    "troll_repeat_of_two_hours": (
        *("30 1,2 * * *", "Antarctica/Troll", "2027-10-30T12:00"),
        ["2027-10-30T23:30", "2027-10-31T00:30", "2027-11-01T01:30"],
    ),
    # tzdata has winter as the negative daylight saving time of Ireland
    "dublin_gap": ("30 1 * * *", "Europe/Dublin", "2027-03-27T12:00", ["2027-03-28T01:00", "2027-03-29T00:30"]),
    "dublin_repeat": ("30 1 * * *", "Europe/Dublin", "2027-10-30T12:00", ["2027-10-31T00:30", "2027-11-01T01:30"]),
    "norfolk_repeat": ("30 2 * * *", "Pacific/Norfolk", "2027-04-03T00:00", ["2027-04-03T14:30", "2027-04-04T15:30"]),
    "norfolk_gap": ("30 2 * * *", "Pacific/Norfolk", "2027-10-02T00:00", ["2027-10-02T15:00", "2027-10-03T14:30"]),
    # 2020-10-03T16:01Z: 00:01 becomes 03:01, exactly three hours
    "casey_gap_of_three_hours": (
        "30 2 * * *",
        "Antarctica/Casey",
        "2020-10-03T00:00",
        ["2020-10-03T16:01", "2020-10-04T15:30"],
    ),
    "casey_repeat_of_three_hours": (
        "30 1 * * *",
        "Antarctica/Casey",
        "2020-03-07T00:00",
        ["2020-03-07T14:30", "2020-03-08T17:30"],
    ),
    # 1993-08-21T12:00Z: the 21st is missing
    "kwajalein_day_is_missing": (
        "0 12 * * *",
        "Pacific/Kwajalein",
        "1993-08-20T12:00",
        ["1993-08-21T00:00", "1993-08-22T00:00"],
    ),
    # 1972-01-07T00:44:30Z: 00:00 becomes 00:44:30
    "monrovia_seconds": (
        "30 0 7 1 *",
        "Africa/Monrovia",
        "1972-01-01T00:00",
        ["1972-01-07T00:44:30", "1973-01-07T00:30"],
    ),
    # 2018-05-04T15:00Z: 23:30 becomes 00:00 of the next day
    "pyongyang_gap_to_midnight": (
        "45 23 * * *",
        "Asia/Pyongyang",
        "2018-05-04T12:00",
        ["2018-05-04T15:00", "2018-05-05T14:45"],
    ),
    "berlin_in_2100": ("30 2 * * *", "Europe/Berlin", "2100-03-27T12:00", ["2100-03-28T01:00", "2100-03-29T00:30"]),
    "berlin_in_1970": ("30 2 * * *", "Europe/Berlin", "1970-01-01T00:00", ["1970-01-01T01:30", "1970-01-02T01:30"]),
}


@pytest.mark.parametrize(("rule", "zone", "after", "times"), CASES.values(), ids=CASES)
def test_e3_e4_fixed_times(rule: str, zone: str, after: str, times: list[str]) -> None:
    parsed = cron(rule, zone)
    assert format_first(parsed, after, len(times)) == times
    for earlier, later in pairwise(map(parse_instant, times)):
        assert find_previous(parsed, later) == earlier


@pytest.mark.parametrize(
    ("zone", "day", "runs"),
    [
        ("Antarctica/Troll", "2027-03-27T22:00", 48 - 4),
        ("Antarctica/Troll", "2027-10-30T22:00", 48 + 4),
        ("America/Nuuk", "2024-10-26T02:00", 48 + 2),
        ("Antarctica/Casey", "2020-03-07T13:00", 48 + 6),
    ],
)
def test_e3_e4_a_frequent_rule_runs_every_half_hour(zone: str, day: str, runs: int) -> None:
    """The local day is longer or shorter; the runs are always half an hour apart."""
    start = parse_instant(day)
    times = list_times(cron("*/30 * * * *", zone), start, start + runs * 1800)
    assert len(times) == runs
    assert {later - earlier for earlier, later in pairwise(times)} == {1800}


def test_e8_no_time_is_before_1970_or_after_9990() -> None:
    rule = cron("0 0 1 1 *", "Pacific/Auckland")
    assert format_first(rule, "1900-01-01", 1) == ["1969-12-31T12:00"]  # 1970 in local time
    assert find_previous(rule, -(10**12)) is None
    assert find_previous(rule, 10**12) is not None
    assert format_first(rule, "9989-12-31", 3) == []
