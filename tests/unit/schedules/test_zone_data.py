"""Time-zone data: the versions of all processes are compared, and an update tells which schedules it moves."""

import importlib.resources
import zipfile
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from cron_rules.zones import TZDATA_VERSION
from cronium_admin.core.database.clock import Now
from cronium_admin.schedules.models import Schedule, ZoneDataReport
from cronium_admin.schedules.ticker import ScheduleTicker
from cronium_admin.workers.health.checks.zone_data import check_zone_data
from cronium_admin.workers.health.probe import HealthProbe, call_directly
from cronium_admin.workers.health.results import CheckResult

pytestmark = pytest.mark.django_db
Make = Callable[..., Schedule]


def check() -> CheckResult:
    (row,) = check_zone_data(HealthProbe(call_directly))
    return row


def report(process: str, version: str, minutes_ago: int = 0) -> None:
    ZoneDataReport.objects.create(process=process, tzdata=version, seen_at=Now() - timedelta(minutes=minutes_ago))


def test_each_process_reports_its_zone_data_also_without_the_lease() -> None:
    take_turn()
    take_turn()
    assert list(ZoneDataReport.objects.values_list("tzdata", flat=True)) == [TZDATA_VERSION] * 2
    assert (check().state, check().found) == ("ok", f"tzdata {TZDATA_VERSION} in every process")


def test_doctor_names_a_process_that_differs() -> None:
    report("web-1:7:ab", "2019a")
    row = check()
    assert row.state == "warning"
    assert "2019a in web-1:7:ab" in row.found


def test_a_process_that_has_ended_counts_no_more() -> None:
    report("web-1:7:ab", "2019a", minutes_ago=5)
    report("long-ago", "2019a", minutes_ago=2 * 24 * 60)
    assert check().state == "ok"
    take_turn()
    assert not ZoneDataReport.objects.filter(process="long-ago").exists()


def take_turn() -> None:
    """One turn of a new process."""
    ticker = ScheduleTicker()
    ticker.stop_event.set()  # no pause after it
    ticker._take_turn()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Other zone data: the clocks of Vancouver go as those of New York."""
    root = importlib.resources.files("tzdata").joinpath("zoneinfo")
    path = tmp_path / "tzdata-2099.1-py2.py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("tzdata/__init__.py", '__version__ = "2099.1"\nIANA_VERSION = "2099a"\n')
        for name, source in {
            "America/Vancouver": "America/New_York",
            "Europe/Berlin": "Europe/Berlin",
            "UTC": "UTC",
        }.items():
            made.writestr(f"tzdata/zoneinfo/{name}", root.joinpath(source).read_bytes())
    return path


def compare(*arguments: object) -> str:
    out = StringIO()
    call_command("timezones", "compare", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_an_update_tells_which_schedules_it_moves(make_schedule: Make, wheel: Path) -> None:
    moved = make_schedule("0 9 * * *", timezone="America/Vancouver", name="morning")
    same = {"job": moved.job, "timezone": "Europe/Berlin"}
    make_schedule("0 9 * * *", name="berlin", **same)
    make_schedule("0 9 * * *", name="off", job=moved.job, timezone="America/Vancouver", enabled=False)
    make_schedule("0 9 * * *", name="gone", job=moved.job, timezone="Asia/Tokyo")
    before = Schedule.objects.values().order_by("pk")
    known = list(before)
    text = compare(wheel)
    assert f"tzdata {TZDATA_VERSION} is installed; {wheel.name} has 2099a." in text
    assert f"{moved.job.slug} / morning (America/Vancouver): " in text
    assert "gone (Asia/Tokyo)" in text
    assert "-> no time" in text
    assert "berlin" not in text
    assert "off" not in text
    assert "Schedules that move: 2." in text
    assert list(before.all()) == known, "it changes nothing"


def test_no_schedule_moves(make_schedule: Make, wheel: Path) -> None:
    make_schedule("*/5 * * * *", timezone="Europe/Berlin")
    assert "No schedule moves in the next 30 days." in compare(wheel, "--days", 30)


def test_what_is_no_wheel_is_refused(tmp_path: Path, wheel: Path) -> None:
    (tmp_path / "text").write_text("no wheel")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as made:
        made.writestr("six.py", "")
    for name in ("text", "other.whl"):
        with pytest.raises(CommandError, match=r"is no wheel of the package tzdata.*pip download"):
            compare(tmp_path / name)
    with pytest.raises(CommandError, match="No such file"):
        compare(tmp_path / "absent")
    with pytest.raises(CommandError, match=r"--days is 0"):
        compare(wheel, "--days", 0)
