"""The syntax of cron rules, and their days: E5 to E8."""

import pytest

from cron_rules.errors import RuleError
from cron_rules.evaluate import list_times
from cron_rules.month_days import MonthDays
from tests.unit.cron_rules.instants import cron, format_first, format_instant, parse_instant

DAYS = [
    ("0 0 31 2 0", "2026-11-26", ["2027-02-07", "2027-02-14", "2027-02-21", "2027-02-28", "2028-02-06"]),
    (
        "0 0 31 * *",
        "2027-02-01",
        ["2027-03-31", "2027-05-31", "2027-07-31", "2027-08-31", "2027-10-31", "2027-12-31"],
    ),
    ("0 0 13 * 5", "2026-11-26", ["2026-11-27", "2026-12-04", "2026-12-11", "2026-12-13", "2026-12-18"]),
    ("0 0 */2 * 1", "2026-11-26", ["2026-12-07", "2026-12-21", "2027-01-11"]),
    ("0 0 13 * */5", "2026-11-26", ["2026-12-13", "2027-06-13", "2027-08-13"]),
    ("0 0 L * *", "2026-11-26", ["2026-11-30", "2026-12-31", "2027-01-31", "2027-02-28"]),
    ("0 0 L-2 * *", "2027-02-01", ["2027-02-26"]),
    ("0 0 15W 5,8 *", "2027-05-01", ["2027-05-14", "2027-08-16"]),
    ("0 0 31W * *", "2027-01-01", ["2027-01-29", "2027-03-31", "2027-05-31"]),
    ("0 0 1W * *", "2027-04-30", ["2027-05-03", "2027-06-01"]),
    ("0 0 LW 2 *", "2027-01-01", ["2027-02-26"]),
    ("0 0 * * 5L", "2026-11-26", ["2026-11-27", "2026-12-25", "2027-01-29"]),
    ("0 0 * * MON#5", "2026-11-26", ["2026-11-30", "2027-03-29", "2027-05-31", "2027-08-30", "2027-11-29"]),
    ("0 0 29 2 *", "2026-11-26", ["2028-02-29", "2032-02-29"]),
    ("0 0 29 2 *", "2096-03-01", ["2104-02-29"]),
    ("0 0 ? * 1", "2026-11-26", ["2026-11-30"]),
    ("0 0 1,L * *", "2026-11-26", ["2026-11-30", "2026-12-01"]),
]


@pytest.mark.parametrize(("rule", "after", "days"), DAYS)
def test_e6_e7_days(rule: str, after: str, days: list[str]) -> None:
    assert format_first(cron(rule), after, len(days)) == [f"{day}T00:00" for day in days]


def test_e6_both_day_fields_can_be_required() -> None:
    rule = cron("0 0 13 * 5", day_match="all")
    assert format_first(rule, "2026-11-28", 1) == ["2027-08-13T00:00"]


@pytest.mark.parametrize(
    ("field", "minutes"),
    [
        ("*/7", [0, 7, 14, 21, 28, 35, 42, 49, 56]),
        ("*/45", [0, 45]),
        ("59/15", [59]),
        ("5/15", [5, 20, 35, 50]),
        ("10-20/4", [10, 14, 18]),
        ("1,1,1-3", [1, 2, 3]),
        ("007", [7]),
    ],
)
def test_e7_minutes_of_an_hour(field: str, minutes: list[int]) -> None:
    start = parse_instant("2026-11-26T05:00")
    assert [(found - start) // 60 for found in list_times(cron(f"{field} * * * *"), start, start + 3600)] == minutes


@pytest.mark.parametrize("names", [("7", "0", "SUN", "sun"), ("5-7", "FRI-SUN", "5,6,0"), ("1-5", "mon-fri", "MON-5")])
def test_e5_weekdays_have_several_names(names: tuple[str, ...]) -> None:
    times = {tuple(format_first(cron(f"0 0 * * {name}"), "2026-11-26", 9)) for name in names}
    assert len(times) == 1


@pytest.mark.parametrize(
    ("nickname", "rule"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@WEEKLY", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
    ],
)
def test_e5_nicknames(nickname: str, rule: str) -> None:
    assert format_first(cron(nickname), "2026-11-26", 5) == format_first(cron(rule), "2026-11-26", 5)


def test_e7_a_hash_is_stable_and_differs_by_schedule() -> None:
    chosen = {seed: format_first(cron("H H * * *", seed=seed), "2026-11-26", 1)[0] for seed in map(str, range(40))}
    assert chosen["7"] == format_first(cron("h h * * *", seed="7"), "2026-11-26", 1)[0] == "2026-11-26T22:52"
    assert len(set(chosen.values())) > 30
    for seed in range(20):
        start = parse_instant("2026-11-26")
        minutes = [found // 60 % 60 for found in list_times(cron("H/15 * * * *", seed=str(seed)), start, start + 3600)]
        assert [minute % 15 for minute in minutes] == [minutes[0]] * 4
        hours = format_first(cron("0 H(3-5) * * *", seed=str(seed)), "2026-11-26", 1)[0]
        assert hours[11:13] in {"03", "04", "05"}


REFUSED = [
    ("60 * * * *", "minute", "0 to 59"),
    ("*/0 * * * *", "minute", "from 1"),
    ("0 24 * * *", "hour", "0 to 23"),
    ("0 0 0 * *", "day of month", "1 to 31"),
    ("0 0 32W * *", "day of month", "1 to 31"),
    ("0 0 L-31 * *", "day of month", "before its last"),
    ("0 0 * 13 *", "month", "1 to 12"),
    ("0 0 * NOV-FEB *", "month", "NOV-DEC,JAN-FEB"),
    ("0 0 * * 8", "day of week", "0 to 7"),
    ("0 0 * * FRI-MON", "day of week", "FRI-SAT,SUN-MON"),
    ("0 0 * * 5-0", "day of week", "5-7"),
    ("0 0 * * MON#6", "day of week", "1 to 5"),
    ("0 0 * * L", "day of week", "5L"),
    ("0 0 * * FUN", "day of week", "SUN to SAT"),
    ("² * * * *", "minute", "digits"),
    ("٣ * * * *", "minute", "digits"),
    ("1, * * * *", "minute", "comma"),
    ("1- * * * *", "minute", "not understood"),
    ("*-5 * * * *", "minute", "two numbers"),
    ("? * * * *", "minute", "not understood"),
    ("61 * * * * *", "second", "0 to 59"),
    ("0 0 * *", "rule", "this has 4"),
    ("1 2 3 4 5 6 7 8", "rule", "this has 8"),
    ("", "rule", "empty"),
    ("@every 5m", "rule", "interval"),
    ("@never", "rule", "@reboot"),
    ("0" * 501, "rule", "500 characters"),
    ("0 0 30 2 *", "rule", "never matches"),
    ("0 0 31 4 *", "rule", "never matches"),
    ("0 0 31 2,4,6,9,11 *", "rule", "never matches"),
    ("0 0 30W 2 *", "rule", "never matches"),
    ("0 0 L-29 2 *", "rule", "never matches"),
]


@pytest.mark.parametrize(("rule", "field", "words"), REFUSED)
def test_e5_e8_what_is_refused(rule: str, field: str, words: str) -> None:
    with pytest.raises(RuleError) as caught:
        cron(rule)
    assert (caught.value.field, words in str(caught.value)) == (field, True), caught.value


def test_e8_both_days_that_never_meet_are_refused() -> None:
    with pytest.raises(RuleError, match="never matches"):
        cron("0 0 31 6 5", day_match="all")
    assert format_instant(list_times(cron("0 0 29 2 1", day_match="all"), 0, 2**31)[0]) == "1988-02-29T00:00"


def test_e8_a_rule_that_never_matches_takes_a_bounded_search(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[tuple[int, int]] = []
    find_days = MonthDays.find_days

    def count(self: MonthDays, year: int, month: int) -> tuple[int, ...]:
        searched.append((year, month))
        return find_days(self, year, month)

    monkeypatch.setattr(MonthDays, "find_days", count)
    with pytest.raises(RuleError, match="never matches"):
        cron("0 0 31 2,4,6,9,11 *")
    assert len(searched) == 28 * 5


@pytest.mark.parametrize("zone", ["Mars/Base", "berlin", "europe/berlin", "", "../../etc/passwd", "UTC\0", "Europe/"])
def test_a_bad_zone_is_refused(zone: str) -> None:
    with pytest.raises(RuleError) as caught:
        cron("0 0 * * *", zone)
    assert caught.value.field == "timezone"
    assert "Europe/Berlin" in str(caught.value)
