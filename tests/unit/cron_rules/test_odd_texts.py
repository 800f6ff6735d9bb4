"""Odd, long and hostile rules: E2, E5, E6 and E8. Each is refused with its field, or has the times that it says."""

import pytest

from cron_rules.cron import parse_fields
from cron_rules.errors import RuleError
from cron_rules.evaluate import find_next, find_previous, list_times
from cron_rules.month_days import MonthDays
from cron_rules.rules import ClockRule
from cron_rules.warnings import list_warnings
from cron_rules.words import describe_cron
from tests.unit.cron_rules.instants import cron, format_first, parse_instant

SAME = [
    (
        "0 9 * * *",
        [
            "\t0  9\t*\t* *  ",
            "00 09 * * *",
            "0 9 ? * ?",
            "0 0 9 * * *",
            "0000000 0000009 * * *",
            "0,0 9-9 */1 1-12 0-7",
        ],
    ),
    ("0 0 1 1,3,5 *", ["0 0 1 jan-may/2 *", "0 0 1 Jan,MAR,mAy *", "0 0 1 1-6/2 *"]),
    ("0 0 * * 1,3,5", ["0 0 * * mon-fri/2", "0 0 * * MON,wed,5", "0 0 * * 1-5/2", "0 0 * * 1-6/2"]),
    ("0 0 * * 6,0", ["0 0 * * SAT-SUN", "0 0 * * 6-7", "0 0 * * 7,6", "0 0 * * 0,6,7,SUN"]),
    ("0 0 * * 0", ["0 0 * * SUN-SUN", "0 0 * * 7-7", "0 0 * * 0-0", "0 0 * * 7/2", "  @Weekly\t"]),
    ("0 0 * * 5L,1#1", ["0 0 * * FRIL,mon#1", "0 0 * * friL,1#1"]),
    ("0 0 L,15W * *", ["0 0 l,15w * *", "0 0 L-0,15W,15w * *"]),
    ("0 0 LW * *", ["0 0 WL * *", "0 0 lw * *"]),
]


@pytest.mark.parametrize(("rule", "others"), SAME)
def test_e5_e7_ways_to_write_the_same(rule: str, others: list[str]) -> None:
    times = format_first(cron(rule), "2026-11-26", 40)
    for other in others:
        assert format_first(cron(other), "2026-11-26", 40) == times, other


@pytest.mark.parametrize(
    ("field", "is_star"), [("*", True), ("*/2", True), ("*,5", True), ("5,*", False), ("1-31", False), ("?", True)]
)
def test_e6_a_day_field_that_begins_with_a_star_restricts_nothing_by_itself(field: str, is_star: bool) -> None:
    fields = parse_fields(f"0 0 {field} * 1")
    assert (fields.day.is_star, fields.needs_both_days) == (is_star, is_star)
    days = format_first(cron(f"0 0 {field} * 1"), "2026-11-30", 3)  # a Monday
    expected = {"*/2": "2026-12-21"}.get(field, "2026-12-07") if is_star else "2026-12-01"
    assert days[1 if field == "*/2" else 0].startswith(expected), days


@pytest.mark.parametrize(
    ("rule", "is_fixed"),
    [
        ("30 2 * * *", True),
        ("0,30 2,3 * * *", True),
        ("5/15 2 * * *", True),
        ("0-59 2 * * *", True),
        ("H/15 2 * * *", True),
        ("* 30 2 * * *", True),  # seconds decide nothing
        ("0 0-22 * * *", True),
        ("*/15 2 * * *", False),
        ("*,5 2 * * *", False),
        ("0 */2 * * *", False),
        ("0 * * * *", False),
        ("0 0-23 * * *", False),
        ("0 0/1 * * *", False),
        ("0 1-23,0 * * *", False),
        ("H/15 * * * *", False),
        ("@hourly", False),
        ("@daily", True),
    ],
)
def test_e2_fixed_and_frequent(rule: str, is_fixed: bool) -> None:
    parsed = cron(rule)
    assert isinstance(parsed, ClockRule)
    assert parsed.is_fixed is is_fixed


HOSTILE = [
    ("0 0 *\0 * *", "day of month"),
    ("0 0 * * \u202e1", "day of week"),
    ("0 0 * * 1\x1b[31m", "day of week"),
    ("０ 0 * * *", "minute"),
    ("1\u00a00 * * *", "rule"),  # no field is separated by a no-break space
    ("0\n0 * * *", "rule"),
    ("0 0 * * *\n", "day of week"),
    ("@wee\u212aly", "rule"),  # the Kelvin sign in lower case is k
    ("@\0", "rule"),
    ("@reboot 5", "rule"),
    ("@daily 0 0 * * *", "rule"),
    ("\u0130 0 * * *", "minute"),  # longer in lower case
    ("9" * 490 + " * * * *", "minute"),
    ("*/" + "9" * 480 + " * * * *", "minute"),
    (",".join(["*"] * 240) + ", * * * *", "minute"),
    ("1," * 245 + "x * * * *", "minute"),
    ("0 0 * * MON-FRI#2", "day of week"),
    ("0 0 1-5W * *", "day of month"),
    ("0 0 LW-2 * *", "day of month"),
    ("0 0 W * *", "day of month"),
    ("0 0 * * L5", "day of week"),
    ("0 0 * * ?,1", "day of week"),
    ("0 0 * ? *", "month"),
    ("0 ? * * *", "hour"),
    ("-1 * * * *", "minute"),
    ("1-2-3 * * * *", "minute"),
    ("1//2 * * * *", "minute"),
    ("*/+5 * * * *", "minute"),
    ("1.5 * * * *", "minute"),
    ("*/5* * * * *", "minute"),
    ("H-5 * * * *", "minute"),
    ("H(0-60) * * * *", "minute"),
    ("H(5-1) * * * *", "minute"),
    ("H/0 * * * *", "minute"),
    ("0 0 * JAN,foo *", "month"),
    ("0 0 MON * *", "day of month"),
    ("0 MON * * *", "hour"),
]


@pytest.mark.parametrize(("rule", "field"), HOSTILE, ids=[ascii(rule)[:30] for rule, _ in HOSTILE])
def test_e5_e8_hostile_rules_are_refused(rule: str, field: str) -> None:
    for use in (cron, list_warnings, lambda text: describe_cron(text, "UTC")):
        with pytest.raises(RuleError) as caught:
            use(rule)
        assert caught.value.field == field
        assert str(caught.value).isprintable(), "control characters are shown as their number"
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("rule", [",".join(map(str, range(60))) + " * * * *", ",".join(["*/7"] * 120) + " * * * *"])
def test_e5_very_long_lists(rule: str) -> None:
    assert len(format_first(cron(rule), "2026-11-26", 100)) == 100


@pytest.mark.parametrize(
    ("hint", "rule"), [("0-2", "7-2"), ("6,0-2", "6-2"), ("SAT,SUN-TUE", "SAT-TUE"), ("5-7", "5-0")]
)
def test_e5_the_hint_for_a_reversed_range_is_a_rule(hint: str, rule: str) -> None:
    with pytest.raises(RuleError, match=f"Write {hint}\\."):
        cron(f"0 0 * * {rule}")
    assert format_first(cron(f"0 0 * * {hint}"), "2026-11-26", 1)


class Searches:
    """Counts the months that are searched: the work, on any machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        find_days = MonthDays.find_days

        def count(days: MonthDays, year: int, month: int) -> tuple[int, ...]:
            self.count += 1
            return find_days(days, year, month)

        monkeypatch.setattr(MonthDays, "find_days", count)


def test_e8_rare_days_are_found_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = cron("0 0 29 2 1", day_match="all")
    searches = Searches(monkeypatch)
    found = find_next(rule, parse_instant("2072-03-01"))  # from one 29 February on a Monday to the next over 2100
    assert found == parse_instant("2112-02-29")
    assert find_previous(rule, found) == parse_instant("2072-02-29")
    assert searches.count < 200


@pytest.mark.parametrize("rule", ["* * * * * *", ",".join(map(str, range(60))) + " * * * * *"])
def test_e8_every_second_is_made_one_by_one(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed, start = cron(rule, "Europe/Berlin"), parse_instant("2026-10-25")
    searches = Searches(monkeypatch)
    times = list_times(parsed, start, start + 400 * 86_400, 10_000)
    assert times == list(range(start, start + 10_000))
    assert searches.count < 10
