"""Intervals, calendar rules and rules that run once: E1 and E9. Instants by tzdata 2026f."""

from datetime import date
from itertools import islice

import pytest

from cron_rules.calendar_rules import parse_calendar
from cron_rules.errors import RuleError
from cron_rules.evaluate import find_next, find_previous, iterate_after, iterate_before
from cron_rules.rules import IntervalRule, OnceRule, Rule
from cron_rules.zones import load_zone
from tests.unit.cron_rules.instants import format_first, format_instant, parse_instant

BERLIN = "Europe/Berlin"
NINETY_MINUTES = IntervalRule(5400, parse_instant("2026-10-25"))


def calendar(text: str, anchor: str, zone: str = "UTC") -> Rule:
    return parse_calendar(text, date.fromisoformat(anchor), load_zone(zone))


def format_last(rule: Rule, before: str, count: int) -> list[str]:
    return [format_instant(instant) for instant in islice(iterate_before(rule, parse_instant(before)), count)]


class TestInterval:
    def test_e9_no_drift_and_no_change_of_the_clock(self) -> None:
        # In Berlin the clock goes back at 01:00Z on this day.
        assert format_first(NINETY_MINUTES, "2026-10-25T00:00", 3) == [
            "2026-10-25T01:30",
            "2026-10-25T03:00",
            "2026-10-25T04:30",
        ]

    def test_e9_nothing_is_before_the_anchor(self) -> None:
        assert format_first(NINETY_MINUTES, "1970-01-01", 2) == ["2026-10-25T00:00", "2026-10-25T01:30"]
        assert format_last(NINETY_MINUTES, "2026-10-25T01:31", 5) == ["2026-10-25T01:30", "2026-10-25T00:00"]
        assert find_previous(NINETY_MINUTES, NINETY_MINUTES.anchor) is None

    @pytest.mark.parametrize("offset", [-1, 0, 1])
    def test_e1_previous_is_the_inverse_of_next(self, offset: int) -> None:
        instant = NINETY_MINUTES.anchor + 7 * 5400 + offset
        following, previous = find_next(NINETY_MINUTES, instant), find_previous(NINETY_MINUTES, instant)
        assert following is not None
        assert previous is not None
        assert previous < instant < following
        assert following - previous == (10_800 if offset == 0 else 5400)


class TestOnce:
    def test_e1_it_runs_once(self) -> None:
        rule = OnceRule(1000)
        assert [find_next(rule, after) for after in (0, 999, 1000, 1001)] == [1000, 1000, None, None]
        assert [find_previous(rule, before) for before in (999, 1000, 1001)] == [None, None, 1000]


class TestCalendar:
    def test_e9_every_two_weeks_across_a_change_of_the_clock(self) -> None:
        rule = calendar("every 2 weeks on mon at 09:00", "2026-11-30", BERLIN)
        times = format_first(rule, "2026-11-27", 10)
        assert times[0] == "2026-11-30T08:00"
        assert times[8:] == ["2027-03-22T08:00", "2027-04-05T07:00"]

    @pytest.mark.parametrize(
        ("text", "anchor", "after", "times"),
        [
            # The anchor is after the instant that is asked from.
            (
                "every 10 days at 06:00, 18:00",
                "2027-01-31",
                "2026-11-26",
                ["01-31T06:00", "01-31T18:00", "02-10T06:00"],
            ),
            # Months without the day have no run.
            ("every month at 09:00", "2027-01-31", "2027-01-01", ["01-31T09:00", "03-31T09:00", "05-31T09:00"]),
            ("every month on last day at 23:30", "2027-01-31", "2027-02-01", ["02-28T23:30", "03-31T23:30"]),
            ("every 3 months on day 15 at 09:00", "2027-01-20", "2027-01-01", ["04-15T09:00", "07-15T09:00"]),
            # The week of the anchor counts from its Monday, and days before the anchor have no run.
            (
                "every 2 weeks on mon,fri at 12:00",
                "2027-06-02",
                "2027-06-01",
                ["06-04T12:00", "06-14T12:00", "06-18T12:00"],
            ),
            ("every week on Sunday, SAT at 12:00", "2027-06-02", "2027-06-01", ["06-05T12:00", "06-06T12:00"]),
            ("every day at 7:05:30", "2027-06-02", "2027-06-02T08:00", ["06-03T07:05:30"]),
        ],
    )
    def test_e9_days_from_the_anchor(self, text: str, anchor: str, after: str, times: list[str]) -> None:
        rule = calendar(text, anchor)
        assert format_first(rule, after, len(times)) == [f"2027-{time}" for time in times]
        end = find_next(rule, parse_instant(f"2027-{times[-1]}"))
        assert end is not None
        assert format_last(rule, format_instant(end), len(times))[::-1] == [f"2027-{time}" for time in times]

    def test_e9_a_leap_day_each_year(self) -> None:
        rule = calendar("every 12 months at 09:00", "2028-02-29")
        assert format_first(rule, "2028-01-01", 3) == ["2028-02-29T09:00", "2032-02-29T09:00", "2036-02-29T09:00"]
        assert format_first(rule, "2096-03-01", 1) == ["2104-02-29T09:00"]
        assert format_last(rule, "2033-01-01", 3) == ["2032-02-29T09:00", "2028-02-29T09:00"]

    def test_e3_its_times_are_fixed(self) -> None:
        rule = calendar("every day at 02:30", "2026-01-01", BERLIN)
        assert format_first(rule, "2027-03-27T12:00", 2) == ["2027-03-28T01:00", "2027-03-29T00:30"]
        assert format_first(rule, "2026-10-24T22:00", 2) == ["2026-10-25T00:30", "2026-10-26T01:30"]

    @pytest.mark.parametrize("anchor", ["0001-01-01", "1900-02-03", "1970-01-01"])
    def test_an_anchor_long_ago(self, anchor: str) -> None:
        rule = calendar("every 7 days at 09:00", anchor)
        times = list(islice(iterate_after(rule, parse_instant("2026-11-26")), 3))
        assert {instant - times[0] for instant in times} == {0, 604_800, 1_209_600}
        assert len(list(iterate_before(rule, parse_instant("1970-03-01")))) in {8, 9}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("every 0 days at 09:00", "1 to 1000"),
            ("every 1001 days at 09:00", "1 to 1000"),
            ("every -1 days at 09:00", "reads like"),
            ("every 2 weeks on monkey at 09:00", "not a weekday"),
            ("every 2 weeks on mon,, at 09:00", "not a weekday"),
            ("every month on mon at 09:00", "belong to weeks"),
            ("every week on last day at 09:00", "belong to weeks"),
            ("every month on day 32 at 09:00", "1 to 31"),
            ("every month on day 0 at 09:00", "1 to 31"),
            ("every day at 24:00", "time of day"),
            ("every day at 9", "time of day"),
            ("every day at 09:00,", "time of day"),
            ("every day at", "reads like"),
            ("", "reads like"),
            ("every day at 09:00 or so", "reads like"),
            ("every ٣ days at 09:00", "reads like"),
            ("every 12 months on day 30 at 09:00", "never matches"),
            (f"every day at {', '.join(f'{n % 24}:{n:02}' for n in range(25))}", "at most 24"),
        ],
    )
    def test_e8_what_is_refused(self, text: str, words: str) -> None:
        with pytest.raises(RuleError, match=words) as caught:
            calendar(text, "2027-02-01")
        assert caught.value.field == "rule"
