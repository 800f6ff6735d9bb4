"""Blackout windows and calendars: which times run, which are closed, and which move. B is Europe/Berlin."""

from datetime import UTC, date, datetime
from itertools import islice

import pytest

from cron_rules.blackout import parse_windows
from cron_rules.closed_days import ClosedDays
from cron_rules.cron import parse_cron
from cron_rules.errors import RuleError
from cron_rules.month_days import EPOCH
from cron_rules.plan import Closures, Plan, PlannedTime, check_can_move, list_plan_warnings
from cron_rules.rules import IntervalRule
from cron_rules.zones import load_zone

B = "Europe/Berlin"
WEEKEND = frozenset({5, 6})


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def show(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%m-%dT%H:%M")


def make_plan(
    rule: str, windows: str = "", *, days: ClosedDays | None = None, moves: bool = False, zone: str = B
) -> Plan:
    info = load_zone(zone)
    closures = Closures(info, parse_windows(windows.split(";"), info), days, moves)
    return Plan(parse_cron(rule, info), closures)


def list_between(plan: Plan, start: str, end: str) -> list[PlannedTime]:
    found = []
    for time in plan.iterate(instant(start) - 1):
        if time.at >= instant(end):
            break
        found.append(time)
    return found


def list_dates(*texts: str) -> ClosedDays:
    days = {date.fromisoformat(text[:10]).toordinal() - EPOCH: text[11:] for text in texts}
    return ClosedDays("Germany", WEEKEND, days)


@pytest.mark.parametrize(
    ("window", "start", "closed"),
    [
        ("01:00-04:00", "2026-10-23T22:00", 12),
        ("01:00-04:00", "2026-10-24T22:00", 16),  # four real hours
        ("01:00-04:00", "2027-03-27T23:00", 8),  # two real hours
        ("02:00-03:00", "2026-10-24T22:00", 8),  # both passes
        ("02:00-03:00", "2027-03-27T23:00", 0),
        ("22:00-06:00", "2026-11-25T23:00", 32),
        ("mon-fri 08:00-18:00", "2026-11-25T23:00", 40),  # a Thursday
        ("mon-fri 08:00-18:00", "2026-11-27T23:00", 0),
        ("sat 22:00-sun 06:00", "2026-11-27T23:00", 8),
        ("sat 22:00-sun 06:00", "2026-11-28T23:00", 24),
        ("sun 23:00-mon 01:00", "2026-11-29T23:00", 4),
        ("2026-11-26 06:00 - 2026-11-26 07:30 audit", "2026-11-25T23:00", 6),
        ("thu 00:00-24:00", "2026-11-25T23:00", 96),
    ],
)
def test_quarters_of_a_local_day_in_a_window(window: str, start: str, closed: int) -> None:
    plan = make_plan("*/15 * * * *", window)
    day = load_zone(B).get_day(instant(start))
    times = islice(plan.iterate(instant(start) - 1), 101)
    of_day = [time for time in times if load_zone(B).get_day(time.at) == day]
    assert len([time for time in of_day if not time.runs]) == closed
    assert {time.closed for time in of_day if not time.runs} <= {f"blackout {window}"}


def test_a_single_window_covers_both_passes_of_its_ends() -> None:
    plan = make_plan("*/30 * * * *", "2026-10-25 02:30 - 2026-10-25 02:30")
    closed = [show(time.at) for time in list_between(plan, "2026-10-24T22:00", "2026-10-25T04:00") if not time.runs]
    assert closed == ["10-25T00:30", "10-25T01:00"]


def test_a_time_that_leaves_a_gap_is_judged_where_it_runs() -> None:
    """02:30 does not exist and runs at 03:00."""
    [time] = list_between(make_plan("30 2 * * *", "03:00-04:00"), "2027-03-27T23:00", "2027-03-28T22:00")
    assert (show(time.at), time.closed) == ("03-28T01:00", "blackout 03:00-04:00")


@pytest.mark.parametrize(
    ("window", "text"),
    [
        ("1-4", "not a blackout window"),
        ("01:00-01:00", "the end is the start"),
        ("24:00-02:00", "not a time of day"),
        ("01:60-02:00", "not a time of day"),
        ("mon-tue-wed 01:00-02:00", "not a range"),
        ("mon,tue 01:00-wed 02:00", "one weekday"),
        ("2026-02-30 01:00-2026-03-01 01:00", "no date"),
        ("2026-03-02 01:00-2026-03-01 01:00", "not after"),
        ("01:00-02:00 " + "x" * 200, "at most"),
        ("٠١:00-02:00", "not a blackout window"),  # other digits
        (";".join(["01:00-02:00"] * 51), "at most 50"),
    ],
)
def test_a_window_that_is_refused(window: str, text: str) -> None:
    with pytest.raises(RuleError, match=text) as caught:
        make_plan("@daily", window)
    assert caught.value.field == "blackouts"


def test_a_closed_day_is_skipped_with_its_name() -> None:
    plan = make_plan("0 9 * * *", days=list_dates("2026-12-25 Christmas Day", "2026-12-24"))
    found = [(show(time.at), time.closed) for time in list_between(plan, "2026-12-23T00:00", "2026-12-27T00:00")]
    assert found == [
        ("12-23T08:00", ""),
        ("12-24T08:00", "closed: 2026-12-24 (calendar Germany)"),
        ("12-25T08:00", "closed: Christmas Day (calendar Germany)"),
        ("12-26T08:00", "closed: Saturday (calendar Germany)"),
    ]
    following = plan.find_next_run(instant("2026-12-24T00:00"))
    assert following is not None
    assert show(following.at) == "12-28T08:00"


def test_times_of_closed_days_merge_with_that_of_the_next_open_day() -> None:
    plan = make_plan("0 9 * * *", days=list_dates(), moves=True)
    [friday, monday] = list_between(plan, "2026-11-27T00:00", "2026-12-01T00:00")
    assert (show(friday.at), friday.moved, friday.merged) == ("11-27T08:00", "", ())
    assert (show(monday.at), monday.nominal, monday.moved) == ("11-30T08:00", monday.at, "")
    assert [(show(part.nominal), part.reason[:16]) for part in monday.merged] == [
        ("11-28T08:00", "closed: Saturday"),
        ("11-29T08:00", "closed: Sunday ("),
    ]


def test_a_moved_time_keeps_its_nominal_time() -> None:
    plan = make_plan("0 9 * * sat", days=list_dates("2026-11-30 Fair"), moves=True)
    [time] = list_between(plan, "2026-11-27T00:00", "2026-12-04T00:00")
    assert (show(time.nominal), show(time.at)) == ("11-28T08:00", "12-01T08:00")
    assert time.moved == "closed: Saturday (calendar Germany)"


@pytest.mark.parametrize("after", ["2026-11-27T12:00", "2026-11-28T12:00", "2026-11-29T23:30", "2026-11-30T06:59"])
def test_a_plan_is_the_same_wherever_it_begins(after: str) -> None:
    plan = make_plan("0 6,8,10 * * sat,sun,mon", days=list_dates(), moves=True)
    first, second, third = islice(plan.iterate(instant(after)), 3)
    if after == "2026-11-30T06:59":
        assert show(first.at) == "11-30T07:00"
        return
    assert [show(time.at) for time in (first, second, third)] == ["11-30T05:00", "11-30T07:00", "11-30T09:00"]
    assert [len(time.merged) for time in (first, second, third)] == [2, 2, 2]


def test_a_moved_time_keeps_its_local_time_when_the_clock_changes() -> None:
    plan = make_plan("30 2 * * sat", days=ClosedDays("X", frozenset({5})), moves=True)
    [gap] = list_between(plan, "2027-03-26T00:00", "2027-03-30T00:00")
    assert (show(gap.nominal), show(gap.at)) == ("03-27T01:30", "03-28T01:00")
    [repeat] = list_between(plan, "2026-10-23T00:00", "2026-10-27T00:00")
    assert (show(repeat.nominal), show(repeat.at)) == ("10-24T00:30", "10-25T00:30")


def test_a_moved_time_in_a_window_does_not_run() -> None:
    plan = make_plan("0 2 * * sat", "mon 01:00-04:00", days=list_dates(), moves=True)
    [time] = list_between(plan, "2026-11-27T00:00", "2026-12-01T00:00")
    assert (show(time.at), time.closed) == ("11-30T01:00", "blackout mon 01:00-04:00")


def test_without_an_open_day_nothing_moves_and_the_preview_warns() -> None:
    plan = make_plan("0 9 * * *", days=ClosedDays("Never", frozenset(range(7))), moves=True)
    assert plan.find_next_run(instant("2026-11-27T00:00")) is None
    assert "It never runs" in list_plan_warnings(plan, instant("2026-11-27T00:00"))[0]


@pytest.mark.parametrize(
    ("rule", "window", "count"),
    [("30 2 * * *", "01:00-04:00", 1), ("* 2 * * *", "01:00-04:00", 1), ("0 5 * * *", "01:00-04:00", 0)],
)
def test_a_rule_that_a_window_covers_is_warned_of(rule: str, window: str, count: int) -> None:
    assert len(list_plan_warnings(make_plan(rule, window), instant("2026-11-27T00:00"))) == count


def test_only_rules_with_few_times_move() -> None:
    check_can_move(parse_cron("0 * * * *", load_zone(B)))
    check_can_move(IntervalRule(3600, 0))
    for rule in (parse_cron("*/30 * * * *", load_zone(B)), IntervalRule(60, 0)):
        with pytest.raises(RuleError, match="up to 24 times"):
            check_can_move(rule)


def test_times_before_the_start_and_after_the_end_of_a_plan_do_not_count() -> None:
    plan = make_plan("0 9 * * *", days=list_dates(), moves=True)
    limited = Plan(plan.rule, plan.closures, instant("2026-11-28T12:00"), instant("2026-11-30T00:00"))
    [time] = list(islice(limited.iterate(0), 5))
    assert (show(time.nominal), show(time.at)) == ("11-29T08:00", "11-30T08:00")
