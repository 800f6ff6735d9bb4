"""E17: the preview shows the times at which the schedule is fired."""

from collections.abc import Callable

import pytest

from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.preview import preview_times
from cronium_admin.schedules.rules import RuleFields
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
