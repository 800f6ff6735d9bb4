"""Properties of the evaluator over random rules, zones and years; `cronsim` is a second opinion."""

from datetime import UTC, datetime
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cron_rules.cron import parse_cron, parse_fields
from cron_rules.errors import RuleError
from cron_rules.evaluate import find_next, find_previous, iterate_before, list_times
from cron_rules.rules import ClockRule
from cron_rules.zones import DAY, list_zone_names, load_zone

ZONES = [
    *("Africa/Cairo", "Africa/Casablanca", "America/Asuncion", "America/Caracas", "America/Chicago"),
    *("America/Edmonton", "America/Havana", "America/Los_Angeles", "America/Mexico_City", "America/New_York"),
    *("America/Nuuk", "America/Santiago", "America/Sao_Paulo", "America/St_Johns", "America/Vancouver"),
    *("Antarctica/Casey", "Antarctica/Troll", "Asia/Amman", "Asia/Beirut", "Asia/Gaza", "Asia/Kathmandu"),
    *("Asia/Kolkata", "Asia/Pyongyang", "Asia/Tehran", "Asia/Tokyo", "Atlantic/Azores", "Australia/Adelaide"),
    *("Australia/Lord_Howe", "Australia/Sydney", "Europe/Berlin", "Europe/Dublin", "Europe/Istanbul"),
    *("Europe/London", "Europe/Moscow", "Pacific/Apia", "Pacific/Auckland", "Pacific/Chatham", "Pacific/Easter"),
    *("Pacific/Norfolk", "UTC"),
]
YEARS = range(2017, 2027)
# `cronsim` is used where it defines the same: not with changes of half an hour, nor with `*/n` hours near a change.
HALF_HOURS = {"Australia/Lord_Howe", "Antarctica/Casey"}  # their clocks change by half an hour, or at one minute past


def _list_field(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high).map(str)
    lists = st.lists(numbers, min_size=1, max_size=3).map(",".join)
    pairs = st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted)
    steps = st.integers(1, high).map(lambda step: f"*/{step}")
    return st.one_of(st.just("*"), lists, pairs.map(lambda pair: f"{pair[0]}-{pair[1]}"), steps)


RULES = st.tuples(
    _list_field(0, 59),
    _list_field(0, 23),
    st.sampled_from(["*", "*", "*", "L", "13", "*/2", "15W", "1,31", "LW", "L-3"]),
    st.sampled_from(["*", "*", "*", "3", "10,11", "*/2"]),
    st.sampled_from(["*", "*", "*", "5L", "1-5", "MON#2", "0,3"]),
).map(" ".join)


def _parse(text: str, zone: str) -> ClockRule:
    try:
        rule = parse_cron(text, load_zone(zone))
    except RuleError:
        assume(False)  # it never matches
    assert isinstance(rule, ClockRule)
    return rule


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, int, int]:
    """A zone and six days in it, most often around a change of its clock."""
    zone, year = draw(st.sampled_from(ZONES)), draw(st.sampled_from(YEARS))
    changes = [found.at for found in load_zone(zone).list_transitions(year)]
    middle = draw(st.sampled_from(changes)) if changes else int(datetime(year, 6, 1, tzinfo=UTC).timestamp())
    start = middle - draw(st.integers(1, 5)) * DAY
    return zone, start, start + 6 * DAY


def _list_naively(text: str, rule: ClockRule, start: int, end: int) -> list[int]:
    """The same times from a clock that is read each minute."""
    days = set(takewhile(lambda day: day <= end // DAY + 2, rule.days.iterate(start // DAY - 2)))
    times = set(rule.times)

    def matches(label: int) -> bool:
        return label // DAY in days and label % DAY in times

    found, seen, previous = set(), set(), None
    for instant in range(start - 2 * DAY, end, 60):
        label = instant + rule.zone.get_offset(instant)
        skipped = range(previous + 60, label, 60) if previous is not None and 60 < label - previous <= 11_000 else []
        for passed in [*skipped, label] if rule.is_fixed else [label]:
            if matches(passed) and instant >= start and not (rule.is_fixed and passed in seen):
                found.add(instant)
            seen.add(passed)
        previous = label
    return sorted(found)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(RULES, windows())
def test_e3_e4_it_is_what_a_clock_shows(text: str, window: tuple[str, int, int]) -> None:
    zone, start, end = window
    rule = _parse(text, zone)
    start -= start % 60
    assert list_times(rule, start, end) == _list_naively(text, rule, start, end)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(RULES, windows())
def test_e1_previous_is_the_inverse_of_next(text: str, window: tuple[str, int, int]) -> None:
    zone, start, end = window
    rule = _parse(text, zone)
    times = list_times(rule, start, end)
    assert times == sorted(set(times))
    back = list(takewhile(lambda instant: instant >= start, iterate_before(rule, end)))
    assert back[::-1] == times
    for instant in times[:3]:
        following = find_next(rule, instant)
        assert following is None or find_previous(rule, following) == instant
        assert find_next(rule, instant - 1) == instant


def _compare_with_cronsim(text: str, zone: str, start: int, end: int) -> None:
    fields = parse_fields(text)
    assume(zone not in HALF_HOURS and "W" not in text and "L-" not in text)
    assume(len(fields.hour.values) < 24 or fields.hour.text == "*")  # 0-23 counts as `*` here
    assume("/" not in fields.hour.text)
    simulated = CronSim(text, datetime.fromtimestamp(start - 1, ZoneInfo(zone)))
    instants = (int(found.timestamp()) for found in simulated)
    theirs = {found for _, found in zip(range(2000), takewhile(lambda instant: instant < end, instants), strict=False)}
    ours = set(list_times(_parse(text, zone), start, end, 2000))
    last = min(max(ours, default=0), max(theirs, default=0))
    assert {found for found in ours if found <= last} == {found for found in theirs if found <= last}


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(RULES, windows())
def test_it_agrees_with_cronsim_near_changes(text: str, window: tuple[str, int, int]) -> None:
    _compare_with_cronsim(text, *window)


@pytest.mark.chaos
@pytest.mark.parametrize("zone", ZONES)
def test_it_agrees_with_cronsim_for_ten_years(zone: str) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(RULES)
    def compare(text: str) -> None:
        _parse(text, zone)
        for year in YEARS:
            for found in load_zone(zone).list_transitions(year) or []:
                _compare_with_cronsim(text, zone, found.at - 2 * DAY, found.at + 2 * DAY)
        start = int(datetime(YEARS[0], 1, 1, tzinfo=UTC).timestamp())
        _compare_with_cronsim(text, zone, start, start + 3653 * DAY)

    compare()


@pytest.mark.chaos
def test_no_zone_changes_twice_within_a_day() -> None:
    for name in sorted(list_zone_names()):
        zone = load_zone(name)
        changes = [found.at for year in range(2000, 2040) for found in zone.list_transitions(year)]
        step = 3600
        for year in range(2000, 2040):
            begin = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
            offsets = [zone.get_offset(begin + number * step) for number in range(366 * 24)]
            seen = sum(before != after for before, after in pairwise(offsets))
            assert seen == sum(begin < change <= begin + 366 * DAY - step for change in changes), (name, year)
