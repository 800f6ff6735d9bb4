"""E17: the preview shows the times at which the schedule is fired."""

import re
from collections.abc import Callable

import pytest

from cron_rules.errors import RuleError
from cron_rules.zones import load_zone
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.preview import preview_times
from cronium_admin.schedules.rules import RuleFields, build_rule, list_rule_warnings
from tests.unit.schedules.conftest import at, fire, instant

pytestmark = pytest.mark.django_db
COUNT = 5


@pytest.mark.parametrize(
    ("rule", "zone", "cursor", "more"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-10-23T12:00", {}),
        ("30 2 * * *", "Europe/Berlin", "2027-03-26T12:00", {"dst_gap": "skip"}),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", {"dst_repeat": "both"}),
        ("*/30 1-3 * * *", "Antarctica/Troll", "2027-03-27T20:00", {}),
        ("0 0 13 * 5", "UTC", "2026-11-26T00:00", {"day_match": "all"}),
        ("every 2 weeks on mon at 09:00", "Europe/Berlin", "2027-03-01T00:00", {"kind": "calendar"}),
    ],
)
def test_what_is_shown_is_fired(
    make_schedule: Callable[..., Schedule], rule: str, zone: str, cursor: str, more: dict[str, str]
) -> None:
    anchor = at("2026-11-30T00:00") if more.get("kind") == "calendar" else None
    schedule = make_schedule(rule, cursor=cursor, timezone=zone, anchor=anchor, overlap="allow", **more)
    shown = [time.at for time in preview_times(RuleFields.from_schedule(schedule), instant(cursor), COUNT)]
    for _ in range(COUNT):
        schedule.refresh_from_db()
        assert schedule.next_at is not None
        fire(schedule, f"{schedule.next_at:%Y-%m-%dT%H:%M:%S}")
    ran = schedule.occurrences.filter(state="ran").order_by("nominal_at")
    assert list(ran.values_list("nominal_at", flat=True)) == shown


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("*/90 * * * *", "one value each hour"),
        ("0 */30 * * *", "one value each day"),
        ("H H * * *", "these times are an example"),
        ("h(1-5) 3 * * THU", "these times are an example"),
    ],
)
def test_warnings_of_rules_that_mislead(rule: str, words: str) -> None:
    assert words in " ".join(list_rule_warnings(RuleFields(rule=rule)))


def test_a_stored_schedule_knows_its_values_of_h() -> None:
    assert list_rule_warnings(RuleFields(rule="H 3 * * *", seed="7")) == []
    assert list_rule_warnings(RuleFields(rule="0 3 * * THU")) == []


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("GMT+1", "Did you mean Etc/GMT-1? In these names the sign is reversed: Etc/GMT-1 is UTC+1."),
        ("utc-05:00", "Did you mean Etc/GMT+5?"),
        ("Europe/Berlim", "Did you mean Europe/Berlin?"),
        ("berlin", "Did you mean Europe/Berlin?"),
    ],
)
def test_hints_for_time_zones(zone: str, hint: str) -> None:
    with pytest.raises(RuleError, match=re.escape(hint)):
        load_zone(zone)


@pytest.mark.parametrize("rule", ["TZ=Europe/Berlin 0 9 * * *", "CRON_TZ = UTC 0 9 * * *"])
def test_a_zone_in_the_rule_is_named(rule: str) -> None:
    with pytest.raises(RuleError, match="time zone does not belong to the rule"):
        build_rule(RuleFields(rule=rule))
