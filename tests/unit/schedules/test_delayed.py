"""Times that could not be decided when they were due: E10 to E12, E16, E18 and E19. Nothing is lost or run twice."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from cron_rules.plan import Plan
from cronium_admin.core.database.clock import database_now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.schedules import firing, refresh, rounds, rules
from cronium_admin.schedules.firing import AlreadyDecided, Tick, record_tick
from cronium_admin.schedules.ledger import record_gaps
from cronium_admin.schedules.models import Heartbeat, Schedule
from cronium_admin.schedules.refresh import refresh_stale
from cronium_admin.schedules.rounds import fire_due
from cronium_admin.schedules.rules import to_instant
from tests.unit.schedules.conftest import at, fire, instant, read_ledger

pytestmark = pytest.mark.django_db
Make = Callable[..., Schedule]
EVERY_MINUTE = "* * * * *"


def read_states(schedule: Schedule) -> list[tuple[str, str, int]]:
    return [(time[11:], state, count) for time, state, _, count in read_ledger(schedule)]


class TestDelayed:
    """A schedule that was not decided for long, though Cronium ran: E12."""

    @pytest.mark.parametrize(
        ("missed", "states"),
        [
            ("latest", [("00:35", "missed", 10), ("01:25", "merged", 1), ("01:30", "late", 1)]),
            ("none", [("00:35", "missed", 11), ("01:30", "late", 1)]),
            ("all", [("00:35", "missed", 10), ("01:25", "caught_up", 1), ("01:30", "late", 1)]),
        ],
    )
    def test_its_past_is_missed_and_the_newest_runs(
        self, make_schedule: Make, missed: str, states: list[tuple[str, str, int]]
    ) -> None:
        schedule = make_schedule("*/5 * * * *", missed=missed, missed_within_seconds=400, overlap="allow")
        fire(schedule, "2026-11-26T01:31")
        assert read_states(schedule) == states
        assert "It was delayed" in read_ledger(schedule)[0][2]

    def test_one_time_runs_late_whatever_the_policy(self, make_schedule: Make) -> None:
        schedule = make_schedule("0 1 * * *", missed="none")
        assert [row[1] for row in fire(schedule, "2026-11-26T05:00")] == ["late"]

    def test_before_the_downtime_it_is_missed_with_it(self, make_schedule: Make) -> None:
        """The process recorded its tick, and died before it fired."""
        schedule = make_schedule("0 1 * * *", missed="none")
        assert [row[1] for row in fire(schedule, "2026-11-26T05:00", ("2026-11-26T01:00:05", "2026-11-26T05:00"))] == [
            "missed"
        ]

    def test_a_burst_after_a_downtime_is_one_run(self, make_schedule: Make) -> None:
        schedule = make_schedule("* * * * * *", missed="none", overlap="allow")
        fire(schedule, "2026-11-26T00:40", ("2026-11-26T00:30", "2026-11-26T00:40"))
        assert read_states(schedule) == [("00:30", "missed", 599), ("00:40", "ran", 1)]

    def test_a_time_with_jitter_that_was_due_in_the_downtime_is_missed(self, make_schedule: Make) -> None:
        schedule = make_schedule("0 1 * * *", missed="none", jitter_seconds=3600)
        assert schedule.next_at is not None
        assert schedule.due_at is not None
        assert schedule.next_at < schedule.due_at
        down = f"{schedule.next_at + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}", "2026-11-26T05:00"
        assert [row[1] for row in fire(schedule, "2026-11-26T05:00", down)] == ["missed"]

    @pytest.mark.parametrize(("day", "gaps"), [("2026-11-26", []), ("2027-03-28", [("2027-03-28T01:00", "gap", 3600)])])
    def test_ten_thousand_times_of_one_second(
        self, make_schedule: Make, monkeypatch: pytest.MonkeyPatch, day: str, gaps: list[tuple[str, str, int]]
    ) -> None:
        """Also on the day of a change of the clock, the times are computed once and not searched one by one."""
        searched: list[int] = []
        find_next = Plan.find_next
        monkeypatch.setattr(Plan, "find_next", lambda plan, after: searched.append(after) or find_next(plan, after))
        values = {"missed": "all", "missed_max": 5, "missed_within_seconds": 60, "overlap": "allow"}
        schedule = make_schedule("* * * * * *", cursor=f"{day}T00:30", timezone="Europe/Berlin", **values)
        fire(schedule, f"{day}T06:30", (f"{day}T00:30", f"{day}T06:30"))
        ledger = [(time, state, count) for time, state, _, count in read_ledger(schedule)]
        assert [row for row in ledger if row[1] == "gap"] == gaps
        others = [row for row in ledger if row[1] != "gap"]
        assert sum(count for *_, count in others) == 6 * 3600, "E16: each time is counted once"
        assert [state for _, state, _ in others] == ["missed"] * 3 + ["caught_up"] * 5 + ["ran"]
        assert len(searched) < 20
        if gaps:
            record_gaps(schedule, rules.build_plan(schedule).rule, instant(f"{day}T00:30"), instant(f"{day}T06:30"))
            assert sum(row[1] == "gap" for row in read_ledger(schedule)) == 1, "the clock of the database went back"


def test_e16_a_time_that_waits_for_its_jitter_is_not_lost(make_schedule: Make) -> None:
    schedule = make_schedule("0,1 1 * * *", jitter_seconds=50, overlap="allow", name="third")
    due = {nominal: firing.to_instant(at(nominal)) for nominal in ("2026-11-26T01:00", "2026-11-26T01:01")}
    plan = rules.build_plan(schedule)
    times = {n: plan.find_next(i - 1) for n, i in due.items()}
    delays = {
        n: rules.compute_due(schedule, time, plan.find_next(time.at)) - time.at for n, time in times.items() if time
    }
    assert delays["2026-11-26T01:01"] > 0, "else this tests nothing: choose another second time"
    fire(schedule, "2026-11-26T01:01")
    assert [time for time, _, _ in read_states(schedule)] == ["01:00"]
    stored = Schedule.objects.get()
    assert stored.next_at == at("2026-11-26T01:01")
    fire(schedule, "2026-11-26T01:02")
    assert [(time, count) for time, _, count in read_states(schedule)] == [("01:00", 1), ("01:01", 1)]


class TestClockOfTheDatabase:
    """E11: a step back fires nothing twice; a step forward is downtime."""

    def test_two_hours_back(self, make_schedule: Make) -> None:
        schedule = make_schedule(overlap="allow", cursor="2026-11-26T14:30")
        fire(schedule, "2026-11-26T15:00:30")
        for now in ("13:00:30", "14:00:00", "14:59:59", "15:00:00", "15:00:30"):
            fire(schedule, f"2026-11-26T{now}")
        assert read_states(schedule) == [("15:00", "late", 1)]
        stored = Schedule.objects.get()
        assert (stored.cursor_at, stored.next_at) == (at("2026-11-26T15:00:30"), at("2026-11-26T16:00"))
        fire(schedule, "2026-11-26T16:00")
        assert Run.objects.count() == 2

    def test_two_hours_back_over_a_gap(self, make_schedule: Make) -> None:
        schedule = make_schedule("*/30 2 * * *", cursor="2027-03-28T00:30", timezone="Europe/Berlin")
        fire(schedule, "2027-03-28T02:00")
        Schedule.objects.update(cursor_at=at("2027-03-28T00:30"))
        fire(schedule, "2027-03-28T02:00")
        assert read_states(schedule) == [("01:00", "gap", 1), ("01:30", "gap", 1)]
        assert Schedule.objects.get().cursor_at == at("2027-03-28T02:00"), "it is not stuck"

    def test_three_hours_forward(self, make_schedule: Make) -> None:
        Heartbeat.objects.create(pk=1, ticked_at=database_now() - timedelta(hours=3))
        tick = record_tick()
        assert tick.downtime is not None
        assert tick.downtime.end - tick.downtime.start in {10_799, 10_800, 10_801}
        assert record_tick().downtime == tick.downtime, "known until the next downtime"
        cursor = f"{database_now() - timedelta(hours=3):%Y-%m-%dT%H:%M:%S}"
        schedule = make_schedule(cursor=cursor, missed="none")
        firing.fire_schedule(schedule.pk, tick)
        states = read_states(schedule)
        assert sum(count for *_, count in states) == 3
        assert states[0][1] == "missed"


class TestFaults:
    def test_e18_one_bad_schedule_stops_no_other(self, make_schedule: Make) -> None:
        cursor = f"{database_now() - timedelta(seconds=90):%Y-%m-%dT%H:%M:%S}"
        bad, *good = (make_schedule(EVERY_MINUTE, cursor=cursor, name=name) for name in "abc")
        Schedule.objects.filter(pk=bad.pk).update(rule="nonsense")
        Schedule.objects.filter(pk=bad.pk).update(due_at=database_now() - timedelta(hours=1))
        assert fire_due(Tick(to_instant(database_now()), None)) == 3
        assert all(schedule.occurrences.exists() for schedule in good)
        bad.refresh_from_db()
        assert bad.problem.startswith("Its times could not be computed: A cron rule has 5 fields")
        assert bad.cursor_at == at(cursor), "nothing is lost"
        assert bad.due_at is not None
        assert bad.due_at > database_now() + timedelta(seconds=50)
        Schedule.objects.filter(pk=bad.pk).update(rule=EVERY_MINUTE, due_at=database_now() - timedelta(hours=1))
        fire_due(Tick(to_instant(database_now()), None))
        assert bad.occurrences.exists()

    @pytest.mark.parametrize("step", ["set_next", "write_row", "record_gaps"])
    def test_a_death_leaves_nothing_half(self, make_schedule: Make, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        schedule = make_schedule()

        def die(*_: object) -> None:
            assert Run.objects.exists(), "the run is created already"
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(firing, step, die)
            with pytest.raises(SystemExit):
                fire(schedule, "2026-11-26T01:00")
        assert not Run.objects.exists()
        assert read_ledger(schedule) == []
        assert Schedule.objects.get().cursor_at == at("2026-11-26T00:30")
        fire(schedule, "2026-11-26T01:00")
        assert (Run.objects.count(), read_states(schedule)) == (1, [("01:00", "ran", 1)])

    def test_a_deleted_job_is_left_alone(self, make_schedule: Make) -> None:
        schedule = make_schedule()
        schedule.job.delete()
        with pytest.raises(AlreadyDecided):
            firing.fire_schedule(schedule.pk, Tick(instant("2026-11-26T01:00"), None))


class TestNewZoneData:
    """E10 and E19. Another zone with the same local times stands for new data of the zone."""

    @pytest.fixture
    def schedule(self, make_schedule: Make) -> Schedule:
        schedule = make_schedule("0 9 * * *", cursor="2026-11-26T00:00", timezone="America/Vancouver", overlap="allow")
        fire(schedule, "2026-11-26T16:00")
        return schedule

    def update_data(self, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
        Schedule.objects.update(timezone=zone)
        for module in (rules, refresh):
            monkeypatch.setattr(module, "TZDATA_VERSION", "2027a")

    def test_no_second_run_on_the_day(self, schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
        self.update_data(monkeypatch, "America/Los_Angeles")  # an hour later in winter
        refresh_stale()
        stored = Schedule.objects.get()
        assert (stored.next_at, stored.computed_for) == (at("2026-11-26T17:00"), "1:2027a")
        fire(schedule, "2026-11-26T17:00")
        assert read_states(schedule) == [("16:00", "ran", 1)]
        assert Schedule.objects.get().next_at == at("2026-11-27T17:00")
        fire(schedule, "2026-11-27T17:00")
        assert read_states(schedule) == [("16:00", "ran", 1), ("17:00", "ran", 1)]

    def test_a_time_that_no_longer_exists_is_no_conflict(self, make_schedule: Make) -> None:
        schedule = make_schedule("30 2 * * *", cursor="2027-03-28T00:00", timezone="Africa/Lagos", dst_gap="skip")
        fire(schedule, "2027-03-28T01:30")
        Schedule.objects.update(timezone="Europe/Berlin", cursor_at=at("2027-03-28T00:30"))
        fire(schedule, "2027-03-28T03:00")
        assert read_states(schedule) == [("01:30", "ran", 1)]
        assert Schedule.objects.get().next_at == at("2027-03-29T00:30")

    def test_current_rows_are_left_alone(self, schedule: Schedule) -> None:
        Schedule.objects.update(next_at=at("2030-01-01T00:00"))
        refresh_stale()
        assert Schedule.objects.get().next_at == at("2030-01-01T00:00")

    def test_a_zone_that_is_gone_names_the_problem(self, schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
        self.update_data(monkeypatch, "Mars/Base")
        refresh_stale()
        stored = Schedule.objects.get()
        assert "not a time zone" in stored.problem
        assert stored.due_at is None


def test_the_longest_due_is_first(make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    now = database_now()
    jobs = [make_job() for _ in range(2)]
    rows = [
        Schedule(job=jobs[n % 2], name=str(n), rule="@daily", due_at=now - timedelta(seconds=(n * 7919) % 1000 + 1))
        for n in range(1000)
    ]
    Schedule.objects.bulk_create(rows)
    fired: list[int] = []

    def record(pk: int, tick: Tick) -> None:
        fired.append(pk)
        Schedule.objects.filter(pk=pk).update(due_at=None)

    monkeypatch.setattr(rounds, "fire_schedule", record)
    counts = []
    while count := fire_due(Tick(to_instant(now), None)):
        counts.append(count)
    assert counts == [rounds.BATCH] * 5
    due = {row.name: row.due_at for row in rows}
    names = dict(Schedule.objects.values_list("pk", "name"))
    ordered = [due[names[pk]] for pk in fired]
    assert ordered == sorted(ordered)
    assert len(set(fired)) == 1000
