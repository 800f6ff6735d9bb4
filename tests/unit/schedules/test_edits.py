"""E12: no change of a schedule runs anything of the past, and none is lost from the ledger."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cron_rules.errors import RuleError
from cronium_admin.core.database.clock import database_now
from cronium_admin.runs.models import Run
from cronium_admin.schedules import firing
from cronium_admin.schedules.firing import Tick, read_tick
from cronium_admin.schedules.models import Heartbeat, Occurrence, Schedule
from cronium_admin.schedules.rounds import fire_due, fire_round
from cronium_admin.schedules.rules import RuleFields, build_rule
from cronium_admin.schedules.ticker import ScheduleTicker
from tests.conftest import Api
from tests.unit.schedules.conftest import fire, read_ledger

pytestmark = pytest.mark.django_db
Make = Callable[..., Schedule]


def ago(**span: int) -> str:
    return f"{database_now() - timedelta(**span):%Y-%m-%dT%H:%M:%S}"


class TestAfterADowntime:
    """The page is used before the first tick."""

    @pytest.fixture
    def schedule(self, make_schedule: Make) -> Schedule:
        Heartbeat.objects.create(pk=1, ticked_at=database_now() - timedelta(hours=3))
        return make_schedule("*/10 * * * *", cursor=ago(hours=3), missed="none", overlap="allow")

    @pytest.mark.parametrize("change", [{"rule": "0 0 1 1 *"}, {"enabled": False}, {"name": "other"}])
    def test_a_change_applies_the_policy_first(
        self, editor: Api, schedule: Schedule, change: dict[str, object]
    ) -> None:
        answer = editor.patch(f"/schedules/{schedule.pk}", change)
        assert answer.status_code == 200, answer.content
        states = [(state, count) for _, state, _, count in read_ledger(schedule)]
        assert sum(count for _, count in states) in {17, 18, 19}
        assert states[0][0] == "missed"
        assert Run.objects.count() <= 1, "a time of the last two minutes may run"

    def test_the_downtime_stays_known_to_the_next_tick(self, schedule: Schedule) -> None:
        assert read_tick().downtime is not None
        assert Heartbeat.objects.get().down_from is None
        assert firing.record_tick().downtime is not None


def test_without_a_heartbeat_there_was_no_downtime() -> None:
    assert read_tick().downtime is None
    assert firing.record_tick().downtime is None
    assert read_tick().downtime is None


def test_times_of_a_disabled_schedule_are_recorded_by_each_change(editor: Api, make_schedule: Make) -> None:
    schedule = make_schedule("0 * * * *", cursor=ago(hours=5), enabled=False)
    url = f"/schedules/{schedule.pk}"
    assert editor.patch(url, {"rule": "*/30 * * * *"}).status_code == 200
    assert [(row.state, row.count) for row in Occurrence.objects.all()] == [("disabled", 5)]
    assert editor.patch(url, {"enabled": True}).status_code == 200
    assert Occurrence.objects.count() in {1, 2}
    assert not Run.objects.exists()


def test_changed_and_changed_back(editor: Api, make_schedule: Make) -> None:
    now = database_now()
    earlier, later = now - timedelta(hours=2), now + timedelta(hours=2)
    schedule = make_schedule(f"{earlier.minute} {earlier.hour} * * *", cursor=ago(hours=1))
    url = f"/schedules/{schedule.pk}"

    def read_next() -> datetime:
        return datetime.fromisoformat(editor.get(url).json()["next_at"])

    first = read_next()
    assert editor.patch(url, {"rule": f"{later.minute} {later.hour} * * *"}).status_code == 200
    assert timedelta(0) < read_next() - now <= timedelta(hours=2)
    assert editor.patch(url, {"rule": schedule.rule}).status_code == 200
    assert read_next() == first > now
    assert not Occurrence.objects.exists()
    assert Schedule.objects.get().rule_number == 3


class TestRulesThatAreRefused:
    def test_h_chooses_a_month_without_the_day(self, editor: Api, make_schedule: Make) -> None:
        """The schedule's id decides, so the rule is judged again when the id is known."""
        schedule = make_schedule()
        later = schedule.pk + 1

        def is_good(rule: str, seed: str) -> bool:
            try:
                return bool(build_rule(RuleFields(rule=rule, seed=seed)))
            except RuleError:
                return False

        rules = [f"0 0 31 H({low}-{high}) *" for low in range(1, 12) for high in range(low + 1, 13)]
        rule = next(rule for rule in rules if is_good(rule, "") and not is_good(rule, str(later)))
        answer = editor.post(f"/jobs/{schedule.job.slug}/schedules", {"name": "h", "rule": rule})
        assert (answer.status_code, list(answer.json()["fields"])) == (422, ["rule"]), answer.content
        assert Schedule.objects.count() == 1

    def test_a_stored_rule_of_another_version_can_be_mended(self, editor: Api, make_schedule: Make) -> None:
        schedule = make_schedule()
        url = f"/schedules/{schedule.pk}"
        for enabled in (True, False):
            Schedule.objects.update(name="a", timezone="Mars/Base", enabled=enabled)
            assert editor.get(url).status_code == 200
            assert editor.post(f"{url}/run-missed").status_code == 409
            renamed = editor.patch(url, {"name": "b"})
            assert (renamed.status_code, "Mars/Base" in renamed.json()["problem"]) == (200, enabled), renamed.content
            assert list(editor.patch(url, {"rule": "@daily"}).json()["fields"]) == ["timezone"]
            if enabled:
                answer = editor.patch(url, {"enabled": False})
                assert (answer.status_code, answer.json()["next_at"]) == (200, None), answer.content
            assert list(editor.patch(url, {"enabled": True}).json()["fields"]) == ["timezone"]
            answer = editor.patch(url, {"timezone": "UTC", "enabled": True})
            assert (answer.status_code, answer.json()["problem"]) == (200, ""), answer.content
            assert answer.json()["next_at"]


def test_a_time_that_was_missed_twice_runs_once(operator: Api, make_schedule: Make) -> None:
    schedule = make_schedule("0 2 * * *", cursor="2026-11-26T01:30", missed="none")
    down = ("2026-11-26T01:30", "2026-11-26T05:30")
    fire(schedule, "2026-11-26T05:30", down)
    fire(schedule, "2026-11-26T05:30", down)
    url = f"/schedules/{schedule.pk}/run-missed"
    assert [operator.post(url).status_code for _ in range(2)] == [202, 409]
    assert Run.objects.count() == 1


def test_an_idle_tick_reads_its_index_on_sqlite(make_schedule: Make) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("schedules_on_postgres has the plans of PostgreSQL")
    make_schedule(cursor="2100-01-01T00:00")
    ticks = (ScheduleTicker()._fire_and_find_pause, 1), (lambda: fire_due(Tick(0, None)), 1)
    for tick, count in (*ticks, (lambda: fire_round(Tick(0, None), 0), 2)):
        with CaptureQueriesContext(connection) as captured:
            tick()
        queries = [query["sql"] for query in captured if "schedules_schedule" in query["sql"]]
        assert len(queries) == count
        for sql in queries:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                plan = " ".join(str(row[3]) for row in cursor.fetchall())
            assert "schedule_due" in plan, plan


class TestTimesThatWait:
    """E16: a time that has passed, but waits for its jitter, ends in one row, whatever is changed."""

    def wait(self, make_schedule: Make) -> Schedule:
        now = database_now()
        passed = now - timedelta(minutes=5)
        schedule = make_schedule(f"{passed.minute} {passed.hour} * * *", cursor=ago(hours=1), jitter_seconds=86_000)
        assert schedule.due_at is not None
        for name in "abcdefghij":  # the id decides the delay
            if schedule.due_at > now + timedelta(minutes=1):
                break
            schedule = make_schedule(schedule.rule, cursor=ago(hours=1), jitter_seconds=86_000, name=name)
        return schedule

    @pytest.mark.parametrize(
        ("change", "row"),
        [
            ({"rule": "0 0 1 1 *"}, ("missed", "It waited to start when the schedule was changed")),
            ({"jitter_seconds": 0}, ("missed", "It waited to start when the schedule was changed")),
            ({"enabled": False}, ("disabled", "It waited to start when the schedule was disabled")),
        ],
    )
    def test_it_has_a_row(
        self, editor: Api, make_schedule: Make, change: dict[str, object], row: tuple[str, str]
    ) -> None:
        schedule = self.wait(make_schedule)
        assert editor.patch(f"/schedules/{schedule.pk}", change).status_code == 200
        assert [(found.state, found.reason) for found in schedule.occurrences.all()] == [row]
        assert not Run.objects.exists()

    def test_a_change_of_other_fields_leaves_it_waiting(self, editor: Api, make_schedule: Make) -> None:
        schedule = self.wait(make_schedule)
        assert editor.patch(f"/schedules/{schedule.pk}", {"overlap": "allow"}).status_code == 200
        assert not schedule.occurrences.exists()
        stored = Schedule.objects.get(pk=schedule.pk)
        assert stored.due_at == schedule.due_at
