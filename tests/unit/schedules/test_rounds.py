"""Schedules that are due at the same time: they launch by priority, and delay no later one for long."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cronium_admin.core.database.clock import database_now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.schedules import rounds
from cronium_admin.schedules.firing import Tick, record_tick
from cronium_admin.schedules.models import Schedule
from cronium_admin.schedules.rounds import fire_round
from cronium_admin.schedules.rules import to_instant
from cronium_admin.schedules.ticker import ScheduleTicker
from tests.unit.conftest import StopClock

pytestmark = pytest.mark.django_db
MakeJob = Callable[..., Job]


class FakeTime:
    """Only firing a schedule takes time, `cost` seconds. The clock of the database is this one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop_clock: StopClock, start: datetime, cost: float) -> None:
        self.passed, self._start, self._stop_clock, self._cost = 0.0, start, stop_clock, cost
        self.fired: list[tuple[int, float]] = []  # schedule, and the seconds that had passed
        monkeypatch.setattr(rounds, "fire_schedule", self.fire)
        monkeypatch.setattr(rounds.time, "monotonic", lambda: 1000.0 + self.passed)
        self.advance(0.0)

    def advance(self, seconds: float) -> None:
        self.passed += seconds
        self._stop_clock(self._start + timedelta(seconds=self.passed))

    def fire(self, pk: int, tick: Tick) -> None:
        self.advance(self._cost)
        self.fired.append((pk, self.passed))
        row = Schedule.objects.get(pk=pk)
        next_due = row.due_at + timedelta(seconds=1) if row.due_at and row.name.startswith("frequent") else None
        Schedule.objects.filter(pk=pk).update(due_at=next_due, cursor_at=row.due_at)

    def run_ticker(self, seconds: float) -> None:
        ticker = ScheduleTicker()
        while self.passed < seconds:
            self.advance(max(ticker._fire_and_find_pause(), 0.001))


def store(job: Job, due: datetime, *names: str) -> list[Schedule]:
    before = due - timedelta(days=1)
    rows = [Schedule(job=job, name=name, rule="@daily", due_at=due, cursor_at=before) for name in names]
    return Schedule.objects.bulk_create(rows)


@pytest.mark.parametrize("cost", [0.01, 0.05])
def test_a_thousand_at_once_delay_no_later_one_by_a_second(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, stop_clock: StopClock, cost: float
) -> None:
    start, job = database_now(), make_job()
    store(job, start, *(f"at once {number}" for number in range(1000)))
    later = {}
    for second in range(1, 11):
        for row in store(job, start + timedelta(seconds=second), *(f"{second} {number}" for number in range(3))):
            later[row.pk] = second
    clock = FakeTime(monkeypatch, stop_clock, start, cost)
    clock.run_ticker(70)
    assert len({pk for pk, _ in clock.fired}) == len(clock.fired) == 1030, "nothing is left over"
    delays = [at - later[pk] for pk, at in clock.fired if pk in later]
    assert len(delays) == 30
    assert max(delays) < 1.0


def test_a_thousand_at_once_delay_no_frequent_one(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, stop_clock: StopClock
) -> None:
    """It is due at the same second as they are, and each second after it; its job has the lowest priority."""
    start, job = database_now(), make_job(priority=5)
    store(job, start, *(f"at once {number}" for number in range(1000)))
    (frequent,) = store(make_job(priority=1), start, "frequent")
    Schedule.objects.filter(pk=frequent.pk).update(cursor_at=start - timedelta(seconds=1))
    clock = FakeTime(monkeypatch, stop_clock, start, 0.02)
    clock.run_ticker(15)
    times = [at for pk, at in clock.fired if pk == frequent.pk]
    assert len(times) >= 14
    assert max(at - number for number, at in enumerate(times)) < 1.0


def test_those_of_before_go_on_whatever_comes(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, stop_clock: StopClock
) -> None:
    """Ten come in each second, which take more than a second."""
    start, job = database_now(), make_job()
    old = {row.pk for row in store(job, start, *(f"old {number}" for number in range(20)))}
    for second in range(1, 21):
        store(job, start + timedelta(seconds=second), *(f"{second} {number}" for number in range(10)))
    clock = FakeTime(monkeypatch, stop_clock, start, 0.15)
    clock.run_ticker(20)
    assert old <= {pk for pk, _ in clock.fired}


def test_the_priority_of_the_job_decides_between_equal_times(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, stop_clock: StopClock
) -> None:
    start = database_now()
    jobs = [make_job(priority=priority) for priority in (1, 5, 3)]
    by_priority = {row.pk: job.priority for job in jobs for row in store(job, start, "a", "b")}
    (earlier,) = store(jobs[0], start - timedelta(seconds=1), "earlier")
    clock = FakeTime(monkeypatch, stop_clock, start, 0.01)
    assert not fire_round(Tick(to_instant(start), None), to_instant(start) + 1)
    assert clock.fired[0][0] == earlier.pk
    assert [by_priority[pk] for pk, _ in clock.fired[1:]] == [5, 5, 3, 3, 1, 1]


def test_a_tick_with_ten_thousand_schedules_has_as_many_queries(make_job: MakeJob) -> None:
    record_tick()
    counts = []
    for number in (10, 10_000):
        job = make_job()
        due = database_now() + timedelta(hours=1)
        store(job, due, *(str(name) for name in range(number)))
        with CaptureQueriesContext(connection) as captured:
            ScheduleTicker()._fire_and_find_pause()
        counts.append(len(captured))
        with CaptureQueriesContext(connection) as captured:
            assert not fire_round(Tick(to_instant(database_now()), None), to_instant(database_now()))
        counts.append(len(captured))
    assert counts == [3, 2, 3, 2], "of the three, two record the tick every 20 s"
    assert not Run.objects.exists()
