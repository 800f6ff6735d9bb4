"""Cron's own times around clock changes, and how they compare with those of a schedule."""

from datetime import UTC, datetime

import pytest

from cron_rules.cron import parse_cron
from cron_rules.crontab.compare import COUNT, compare_times
from cron_rules.crontab.cron_fields import CronTimes, read_fields
from cron_rules.crontab.cron_times import list_cron_times
from cron_rules.crontab.parse import parse_crontab
from cron_rules.zones import DAY, Zone, load_zone


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def walk_minutes(times: CronTimes, zone: Zone, start: int, end: int) -> list[int]:
    """Cron's main loop, minute by minute, with its virtual clock."""
    found: list[int] = []

    def start_jobs(minute: int, *, wild: bool, fixed: bool) -> None:
        local = datetime.fromtimestamp(minute * 60, UTC)
        matches = times.has_day(local.month, local.day, local.isoweekday() % 7)
        if matches and local.hour in times.hours and local.minute in times.minutes:
            found.extend([at] if (wild if times.is_wild else fixed) else [])

    at = start
    virtual = (at - 60 + zone.get_offset(at - 60)) // 60
    for at in range(start, end, 60):
        running = (at + zone.get_offset(at)) // 60
        passed = running - virtual
        if 0 < passed <= 5:
            for minute in range(virtual + 1, running + 1):
                start_jobs(minute, wild=True, fixed=True)
            virtual = running
        elif 5 < passed <= 180:
            start_jobs(running, wild=True, fixed=False)
            for minute in range(virtual + 1, running + 1):
                start_jobs(minute, wild=False, fixed=True)
            virtual = running
        elif -180 <= passed <= 0:
            start_jobs(running, wild=True, fixed=False)
        else:
            start_jobs(running, wild=True, fixed=True)
            virtual = running
    return found


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Europe/Berlin", "2027-03-27T12:00"),
        ("Europe/Berlin", "2026-10-24T12:00"),
        ("America/New_York", "2027-03-13T12:00"),
        ("Australia/Lord_Howe", "2027-04-03T00:00"),
        ("Australia/Lord_Howe", "2027-10-02T00:00"),
        ("Africa/Cairo", "2027-04-29T12:00"),
        ("Pacific/Apia", "2011-12-29T12:00"),
        ("UTC", "2027-01-01T00:00"),
    ],
)
@pytest.mark.parametrize(
    "rule", ["30 2 * * *", "*/15 2 * * *", "0,30 0-3 * * *", "15 * * * *", "0 0 * * *", "5 1-4 * * 0"]
)
def test_the_times_are_those_of_crons_loop(rule: str, zone: str, start: str) -> None:
    times, place, first = read_fields(rule), load_zone(zone), instant(start)
    expected = [at for at in walk_minutes(times, place, first, first + 2 * DAY) if at > first]
    assert list_cron_times(times, place, first, first + 2 * DAY, 9999) == expected


def compare(
    line: str, after: str, zone: str = "Europe/Berlin", *, is_foreign: bool = False
) -> list[tuple[str, int, bool, str]]:
    entry = parse_crontab(line).entries[0]
    rule = parse_cron(entry.rule, load_zone(zone))
    pairs = compare_times(entry, rule, load_zone(zone), instant(after), is_foreign=is_foreign)
    return [
        (f"{datetime.fromtimestamp(pair.at, UTC):%m-%dT%H:%M}", pair.original, pair.is_imported, pair.reason)
        for pair in pairs
    ]


@pytest.mark.parametrize(
    "line", ["30 2 * * * x", "*/15 * * * * x", "0 * * * * x", "@daily x", "@hourly x", "0 9 13 * 5 x"]
)
def test_ordinary_entries_have_the_same_times(line: str) -> None:
    for after in ("2026-10-24T20:00", "2027-03-27T20:00"):
        pairs = compare(line, after)
        assert len(pairs) == COUNT
        assert {pair[1:] for pair in pairs} == {(1, True, "")}


def test_several_skipped_times_are_several_runs_of_cron_and_one_of_cronium() -> None:
    at, runs, is_imported, reason = compare("0,30 2 * * * x", "2027-03-27T20:00")[0]
    assert (at, runs, is_imported) == ("03-28T01:00", 2, True)
    assert "cron starts 2 runs for the skipped times, Cronium one" in reason


def test_the_next_clock_changes_are_compared_too() -> None:
    pairs = compare("0,30 2 * * * x", "2026-11-01T00:00")
    assert [pair[1:3] for pair in pairs] == [(1, True)] * COUNT + [(2, True)]
    assert pairs[-1][0] == "03-28T01:00"
    assert len(compare("30 2 * * * x", "2026-11-01T00:00")) == COUNT


def test_all_hours_by_number_are_fixed_for_cron() -> None:
    pairs = compare("0 0-23 * * * x", "2026-10-25T00:30")
    assert pairs[0][:3] == ("10-25T01:00", 0, True)
    assert "cron runs the repeated hour once" in pairs[0][3]
    assert {pair[1:] for pair in pairs[1:COUNT]} == {(1, True, "")}
    assert [pair[:3] for pair in pairs[COUNT:]] == [("03-28T01:00", 2, True)]


def test_the_zone_of_cron_tz_knows_no_clock_changes() -> None:
    pairs = compare("30 2 * * * x", "2027-03-27T20:00", is_foreign=True)
    assert pairs[0][:3] == ("03-28T01:00", 0, True)
    assert "cron does not run this time" in pairs[0][3]
    pairs = compare("30 2 * * * x", "2026-10-24T20:00", is_foreign=True)
    assert [pair[:3] for pair in pairs[:2]] == [("10-25T00:30", 1, True), ("10-25T01:30", 1, False)]
    assert "cron runs the repeated time again" in pairs[1][3]


def test_a_step_after_a_number() -> None:
    pairs = compare("5/15 * * * * x", "2027-01-01T00:00")
    assert [pair[1:3] for pair in pairs[:4]] == [(1, True), (0, True), (0, True), (0, True)]
    assert "read the fields differently" in pairs[1][3]


def test_a_rare_rule_ends_at_the_horizon() -> None:
    assert [pair[0] for pair in compare("0 0 29 2 * x", "2026-12-01T00:00", "UTC")] == ["02-29T00:00"]


def test_a_line_that_cron_refuses_has_the_times_of_cronium_only() -> None:
    pairs = compare("0 0 L * * x", "2026-12-01T00:00", "UTC")
    assert len(pairs) == COUNT
    assert {pair[1:] for pair in pairs} == {(0, True, "")}
