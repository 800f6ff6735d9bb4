"""@reboot: once for each start of the installation; not for each process."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.schedules import starts
from cronium_admin.schedules.firing import Tick, record_tick
from cronium_admin.schedules.models import Heartbeat, InstallationStart, Schedule, ZoneDataReport
from cronium_admin.schedules.rounds import fire_due
from cronium_admin.schedules.rules import to_instant
from cronium_admin.schedules.starts import decide_start, record_start, register_process
from tests.conftest import Api
from tests.unit.schedules.conftest import read_ledger

pytestmark = pytest.mark.django_db
Make = Callable[..., Schedule]


def ago(**span: float) -> Any:
    return Now() - timedelta(**span)


def add_process(name: str, *, started: Any, seen: Any, ended: Any = None) -> None:
    ZoneDataReport.objects.create(process=name, tzdata="2026.6", started_at=started, seen_at=seen, ended_at=ended)


def move_start(name: str, **span: float) -> None:
    ZoneDataReport.objects.filter(pk=name).update(started_at=ago(**span), seen_at=ago(**span))


def list_starts() -> list[datetime]:
    return list(InstallationStart.objects.order_by("at").values_list("at", flat=True))


class TestDecision:
    def test_the_first_process_ever_starts_the_installation(self) -> None:
        register_process("a")
        assert decide_start("a") is True
        own = ZoneDataReport.objects.get()
        assert own.started_at is not None
        assert list_starts() == [own.started_at.replace(microsecond=0)]

    def test_of_several_at_once_one_starts_it(self) -> None:
        names = ["c", "a", "b"]
        for name in names:
            register_process(name)
        for seconds, name in enumerate(reversed(names), 1):
            move_start(name, seconds=seconds)
        assert [decide_start(name) for name in names] == [True, None, None]
        starts.report_zone_data("c")
        starts.report_zone_data("a")
        assert [decide_start(name) for name in ("a", "b")] == [False, False]
        assert len(list_starts()) == 1

    def test_with_the_same_moment_one_starts_it(self) -> None:
        moment = database_now()
        for name in ("b", "a"):
            add_process(name, started=moment, seen=moment)
        assert (decide_start("b"), decide_start("a")) == (None, True)

    @pytest.mark.parametrize(
        ("seen", "ended", "decision"),
        [
            (5, None, False),  # it reported after this one had started
            (20, None, None),  # it may be alive
            (60, None, True),  # it was killed
            (60, 5, False),  # a rolling restart: it ended after this one had started
            (20, 15, True),  # it was stopped before
        ],
    )
    def test_another_process(self, seen: float, ended: float | None, decision: bool | None) -> None:
        add_process(
            "old", started=ago(hours=1), seen=ago(seconds=seen), ended=None if ended is None else ago(seconds=ended)
        )
        register_process("new")
        ZoneDataReport.objects.filter(pk="new").update(started_at=ago(seconds=10))
        assert decide_start("new") is decision
        assert bool(list_starts()) is (decision is True)

    def test_a_later_process_does_not_count(self) -> None:
        register_process("a")
        move_start("a", seconds=5)
        register_process("b")
        starts.report_zone_data("b")
        assert decide_start("a") is True

    def test_one_that_was_killed_is_waited_for(self) -> None:
        add_process("old", started=ago(hours=1), seen=ago(seconds=3))
        register_process("new")
        assert decide_start("new") is None
        ZoneDataReport.objects.filter(pk="old").update(seen_at=ago(seconds=starts.DEAD_SECONDS + 1))
        assert decide_start("new") is True

    def test_the_watch_decides_once_and_records_its_end(self) -> None:
        watch = starts.StartWatch("a")
        for _ in range(3):
            watch.take_turn()
        assert len(list_starts()) == 1
        watch.end()
        assert ZoneDataReport.objects.get().ended_at is not None
        following = starts.StartWatch("b")
        ZoneDataReport.objects.update(started_at=ago(seconds=30), ended_at=ago(seconds=10))
        InstallationStart.objects.update(at=database_now() - timedelta(seconds=30))
        following.take_turn()
        assert len(list_starts()) == 2, "after a clean stop it waits for nothing"

    def test_the_heartbeat_is_untouched(self) -> None:
        Heartbeat.objects.create(pk=1, ticked_at=database_now() - timedelta(hours=3))
        register_process("a")
        assert record_tick().downtime is not None


def start_now() -> int:
    """A start of the installation; fires what is due then."""
    record_start(database_now().replace(microsecond=0))
    return fire_due(Tick(to_instant(database_now()), None))


@pytest.fixture
def schedule(make_schedule: Make) -> Schedule:
    cursor = f"{database_now() - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
    return make_schedule("@reboot", cursor=cursor, missed="none")


class TestFiring:
    def test_each_start_has_one_row_and_one_run(self, schedule: Schedule) -> None:
        assert schedule.due_at is None
        assert start_now() == 1
        run = Run.objects.get()
        assert [row[1] for row in read_ledger(schedule)] == ["ran"]
        assert (run.trigger, run.scheduled_for) == ("schedule", list_starts()[0])
        stored = Schedule.objects.get()
        assert (stored.next_at, stored.due_at) == (None, None)
        record_start(list_starts()[0])
        assert fire_due(Tick(to_instant(database_now()), None)) == 0

    def test_the_policy_for_missed_times_does_not_apply(self, schedule: Schedule) -> None:
        """A start comes after a downtime, and the first tick after the start."""
        Heartbeat.objects.create(pk=1, ticked_at=database_now() - timedelta(hours=1))
        at = (database_now() - timedelta(seconds=30)).replace(microsecond=0)
        record_start(at)
        assert fire_due(record_tick()) == 1
        assert [row[1] for row in read_ledger(schedule)] == ["late"]
        assert Run.objects.get().scheduled_for == at

    def test_a_start_that_was_not_decided_is_merged_into_the_next(self, schedule: Schedule) -> None:
        first = (database_now() - timedelta(minutes=10)).replace(microsecond=0)
        record_start(first)
        assert start_now() == 1
        assert [row[1] for row in read_ledger(schedule)] == ["merged", "ran"]
        assert "The installation started again" in read_ledger(schedule)[0][2]
        assert Run.objects.count() == 1

    def test_a_blackout_and_a_closed_day_apply(self, schedule: Schedule) -> None:
        Schedule.objects.update(blackouts="00:00-24:00 freeze")
        start_now()
        assert [row[1:3] for row in read_ledger(schedule)] == [("blackout", "blackout 00:00-24:00 freeze")]
        assert not Run.objects.exists()

    def test_a_disabled_one_and_one_that_is_created_later_run_nothing(
        self, schedule: Schedule, editor: Api, make_job: Callable[..., Job]
    ) -> None:
        url = f"/schedules/{schedule.pk}"
        assert editor.patch(url, {"enabled": False}).status_code == 200
        Schedule.objects.update(cursor_at=database_now() - timedelta(minutes=5))
        record_start((database_now() - timedelta(seconds=5)).replace(microsecond=0))
        made = editor.post(f"/jobs/{make_job().slug}/schedules", {"name": "late", "rule": "@REBOOT"})
        assert made.status_code == 201, made.content
        assert editor.patch(url, {"enabled": True}).status_code == 200
        assert fire_due(Tick(to_instant(database_now()), None)) == 0
        assert not Run.objects.exists()
        assert [row[1] for row in read_ledger(schedule)] == ["disabled"]


class TestWords:
    def test_preview(self, viewer: Api) -> None:
        found = viewer.post("/schedules/preview", {"rule": "@reboot"}).json()
        assert (found["times"], found["words"]) == ([], "Once each time the installation starts.")
        assert found["warnings"] == []
        days = viewer.post("/schedules/preview", {"rule": "@reboot", "days": 400}).json()["days"]
        assert {day["count"] for day in days} == {0}

    def test_it_can_not_move(self, editor: Api, job: Job, admin: Api) -> None:
        assert admin.post("/calendars", {"name": "home", "weekdays": ["sun"]}).status_code == 201
        body = {"name": "n", "rule": "@reboot", "calendar": "home", "on_closed": "next_working_day"}
        answer = editor.post(f"/jobs/{job.slug}/schedules", body)
        assert (answer.status_code, list(answer.json()["fields"])) == (422, ["on_closed"])

    def test_pages(self, schedule: Schedule, client: Any, people: dict[str, Any]) -> None:
        client.force_login(people["admin"])
        assert "at the next start of Cronium" in client.get("/schedules/").content.decode()
        page = client.get(f"/schedules/{schedule.pk}/").content.decode()
        assert "It runs when the installation starts" in page
        edit = client.get(f"/schedules/{schedule.pk}/edit/").content.decode()
        assert "Once each time the installation starts." in edit
