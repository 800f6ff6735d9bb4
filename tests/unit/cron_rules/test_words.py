"""Each rule reads as an English sentence, and warnings name what people mean differently."""

import pytest

from cron_rules.errors import RuleError
from cron_rules.warnings import list_warnings
from cron_rules.words import describe_calendar, describe_cron, describe_interval
from tests.unit.cron_rules.instants import cron, parse_instant

WORDS = [
    ("* * * * *", "Every minute"),
    ("*/15 * * * *", "Every 15 minutes"),
    ("0 * * * *", "Every hour, on the hour"),
    ("0 0-23 * * *", "Every hour, on the hour"),
    ("1 * * * *", "1 minute past every hour"),
    ("5,35 * * * *", "At the minutes 5 and 35 of every hour"),
    ("10-20 * * * *", "At the minutes 10 to 20 of every hour"),
    ("30 2 * * *", "At 02:30, every day"),
    ("0 9,17 * * *", "At 09:00 and 17:00, every day"),
    ("0 9-17 * * *", "Every hour from 09:00 to 17:00, every day"),
    ("30 9-17 * * *", "30 minutes past every hour from 09:00 to 17:30, every day"),
    ("0 */2 * * *", "Every 2 hours, starting at 00:00, every day"),
    ("15 1-23/2 * * *", "Every 2 hours, starting at 01:15, every day"),
    ("*/15 9-17 * * 1-5", "Every 15 minutes from 09:00 to 17:45, from Monday to Friday"),
    ("* 10 * * *", "Every minute from 10:00 to 10:59, every day"),
    ("* * 1 * *", "Every minute, on day 1 of the month"),
    ("0 0 31 * *", "At 00:00, on day 31 of the month"),
    ("0 0 1-7 * *", "At 00:00, on days 1 to 7 of the month"),
    ("0 0 L * *", "At 00:00, on the last day of the month"),
    ("0 0 L-1 * *", "At 00:00, on the day that is 1 day before the last day of the month"),
    ("0 0 L-2 * *", "At 00:00, on the day that is 2 days before the last day of the month"),
    ("0 9 LW * *", "At 09:00, on the last weekday of the month"),
    ("0 9 15W * *", "At 09:00, on the weekday nearest to day 15 of the month"),
    ("0 0 * * 5L", "At 00:00, on the last Friday of the month"),
    ("0 0 * * MON#5", "At 00:00, on the fifth Monday of the month"),
    ("0 0 * * 6,0", "At 00:00, on Saturdays and Sundays"),
    ("0 0 13 * 5", "At 00:00, on day 13 of the month or on Fridays"),
    ("0 0 */2 * 1", "At 00:00, on days 1, 3, 5, 7, ..., 31 of the month, if that day is a Monday"),
    ("0 0 */2 * 1-5", "At 00:00, on days 1, 3, 5, 7, ..., 31 of the month, if that day is a day from Monday to Friday"),
    ("0 0 1-31 * 1", "At 00:00, every day"),
    ("0 0 5,* * 1", "At 00:00, every day"),
    ("0 0 *,5 * 1", "At 00:00, on Mondays"),
    ("0 0 1 */3 *", "At 00:00, on day 1 of the month, in January, April, July and October"),
    ("@weekly", "At 00:00, on Sundays"),
    ("@yearly", "At 00:00, on day 1 of the month, in January"),
    ("*/10 * * * * *", "Every 10 seconds"),
    ("* * * * * *", "Every second"),
    ("1 * * * * *", "1 second past every minute"),
    ("15 30 2 * * *", "At 02:30:15, every day"),
    ("*/10 5 * * * *", "Every 10 seconds, in the minute 5"),
]


@pytest.mark.parametrize(("rule", "sentence"), WORDS)
def test_words(rule: str, sentence: str) -> None:
    assert describe_cron(rule, "Europe/Berlin") == f"{sentence} (Europe/Berlin)."
    cron(rule)


def test_both_days_in_words() -> None:
    assert describe_cron("0 0 13 * 5", "UTC", day_match="all") == (
        "At 00:00, on day 13 of the month, if that day is a Friday (UTC)."
    )
    either = "At 00:00, on day 13 of the month, if that day is a Monday or the last Friday of the month (UTC)."
    assert describe_cron("0 0 13 * 1,5L", "UTC", day_match="all") == either


def test_words_of_other_rules() -> None:
    anchor = parse_instant("2026-10-25")
    assert describe_interval(5400, anchor) == "Every 90 minutes, counted from 2026-10-25 00:00:00 UTC."
    assert describe_interval(86_400, anchor).startswith("Every day, ")
    assert describe_interval(1, anchor).startswith("Every second, ")
    assert describe_calendar("EVERY 2 weeks on mon  at 09:00", "UTC") == "Every 2 weeks on mon at 09:00 (UTC)."
    assert describe_cron(" @Reboot", "UTC") == "Once each time the installation starts."


EITHER = (
    "Day of month and day of week are both set: it runs on days that match either one."
    ' Choose "both" if a day must match the two.'
)
WARNINGS = [
    ("*/7 * * * *", ["4 minutes between :56 and :00: */7 begins again each hour."]),
    ("*/59 * * * *", ["1 minute between :59 and :00: */59 begins again each hour."]),
    ("0 */5 * * *", ["4 hours between 20:00 and 00:00: */5 begins again each day."]),
    ("*/7 * * * * *", ["4 seconds between :56 and :00: */7 begins again each minute."]),
    ("* 10 * * *", ["60 runs a day, one each minute. For one run at 10:00 write 0 10 as the minute and hour."]),
    ("* 9,17 * * *", ["120 runs a day, one each minute. For one run an hour write 0 9,17 as the minute and hour."]),
    (
        "0 * 7 * * *",
        ["60 runs a day, one each minute. For one run at 07:00 write 0 0 7 as the second, minute and hour."],
    ),
    (
        "* * 7 * * *",
        ["3,600 runs a day, 60 each minute. For one run at 07:00 write 0 0 7 as the second, minute and hour."],
    ),
    ("0 0 13 * 5", [EITHER]),
    ("0 0 */2 * 1", ["Day of month and day of week must both match."]),
    (
        "0 0 31 * *",
        [
            "Five months have no such day: February, April, June, September, November."
            " L means the last day of every month."
        ],
    ),
    ("0 0 30 * *", ["One month has no such day: February. L means the last day of every month."]),
    ("0 0 29 * *", ["One month has no such day: February, except in leap years. L means the last day of every month."]),
    ("0 0 31 3,4 *", ["One month has no such day: April. L means the last day of every month."]),
    ("0 0 29 2 *", ["It runs in leap years only."]),
]
NO_WARNINGS = [
    "*/15 * * * *",
    "30 2 * * *",
    "0 9-17 * * 1-5",
    "0 0 L * *",
    "0 0 31W 1 *",
    "@daily",
    "@reboot",
    "5/7 * * * *",
]


@pytest.mark.parametrize(("rule", "warnings"), [*WARNINGS, *((rule, []) for rule in NO_WARNINGS)])
def test_warnings(rule: str, warnings: list[str]) -> None:
    assert list_warnings(rule) == warnings


def test_both_days_warn_by_their_setting() -> None:
    assert list_warnings("0 0 13 * 5", day_match="all") == ["Day of month and day of week must both match."]


@pytest.mark.parametrize("function", [list_warnings, lambda text: describe_cron(text, "UTC")])
def test_a_rule_that_is_no_rule_is_refused(function: object) -> None:
    with pytest.raises(RuleError):
        function("60 * * * *")  # type: ignore[operator]
