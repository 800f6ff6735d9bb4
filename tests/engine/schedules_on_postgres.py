"""Schedules that several processes fire at once: a nominal time has one row and one run. test_on_postgres runs it."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from cronium_admin.core.database.clock import database_now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.schedules import catch_up, firing, starts
from cronium_admin.schedules.calendars import service as calendars
from cronium_admin.schedules.firing import AlreadyDecided, Tick, fire_schedule
from cronium_admin.schedules.models import InstallationStart, Occurrence, Schedule, ZoneDataReport
from cronium_admin.schedules.rounds import fire_due, fire_round
from cronium_admin.schedules.ticker import ScheduleTicker
from tests.unit.schedules.conftest import instant, store_schedule
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
TICKERS, SCHEDULES, TIMES = 3, 50, 3


@pytest.fixture(autouse=True)
def _on_postgres() -> None:
    assert connection.vendor == "postgresql"


def run_at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """Results of `count` threads; an exception is a result too."""
    barrier = threading.Barrier(count)

    def start(number: int) -> object:
        try:
            barrier.wait(30)
            return work(number)
        except Exception as error:  # noqa: BLE001 - the test judges it
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


def test_two_threads_fire_a_time_once(job: Job) -> None:
    schedule = store_schedule(job, overlap="allow")
    for hour in range(1, 9):
        tick = Tick(instant(f"2026-11-26T{hour:02}:00"), None)
        results = run_at_once(2, lambda _, tick=tick: fire_schedule(schedule.pk, tick))  # type: ignore[misc]
        assert all(result is None or isinstance(result, AlreadyDecided) for result in results), results
        assert None in results
        assert (Run.objects.count(), Occurrence.objects.count()) == (hour, hour)
    assert set(Occurrence.objects.values_list("state", flat=True)) == {"ran"}


def test_without_the_lock_the_constraints_hold(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have read the row with the same cursor before either writes."""
    schedule = store_schedule(job, overlap="allow")
    have_read = threading.Barrier(2)
    decide = firing.decide_due

    def wait(*arguments: object) -> object:
        have_read.wait(30)
        return decide(*arguments)  # type: ignore[arg-type]

    def fire(_: int) -> None:
        with firing.transaction.atomic():
            row = Schedule.objects.select_related("owner", "job__profile").get(pk=schedule.pk)
            firing.settle_due(row, Tick(instant("2026-11-26T01:00"), None))

    monkeypatch.setattr(firing, "decide_due", wait)
    results = run_at_once(2, fire)
    assert sorted(type(result).__name__ for result in results) == ["AlreadyDecided", "NoneType"], results
    assert (Run.objects.count(), Occurrence.objects.count()) == (1, 1)


def test_racing_tickers_fire_each_time_once(make_job: Callable[..., Job]) -> None:
    start = database_now().replace(second=0, microsecond=0) - timedelta(minutes=10)
    jobs = [make_job() for _ in range(5)]
    for number in range(SCHEDULES):
        cursor = f"{start:%Y-%m-%dT%H:%M}"
        store_schedule(jobs[number % 5], "* * * * *", cursor, name=str(number), overlap="allow")
    for minute in range(1, TIMES + 1):
        tick = Tick(int(start.timestamp()) + 60 * minute, None)
        results = run_at_once(TICKERS, lambda _, tick=tick: fire_due(tick))  # type: ignore[misc]
        assert all(isinstance(result, int) for result in results), results
    rows = Counter(Occurrence.objects.values_list("schedule", "nominal_at"))
    assert len(rows) == SCHEDULES * TIMES
    assert set(rows.values()) == {1}
    assert set(Occurrence.objects.values_list("state", flat=True)) == {"ran"}
    runs = Counter(Run.objects.values_list("caused_by", "scheduled_for"))
    assert (len(runs), set(runs.values())) == (SCHEDULES * TIMES, {1})
    assert not Occurrence.objects.filter(run=None).exists()


def test_missed_times_are_run_once_by_two_requests(job: Job) -> None:
    schedule = store_schedule(job, missed="none")
    now = "2026-11-26T05:30"
    fire_schedule(schedule.pk, Tick(instant(now), firing.Downtime(instant("2026-11-26T00:30"), instant(now))))
    results = run_at_once(2, lambda _: len(catch_up.run_missed(schedule, 10, get_admin())))
    assert 5 in results, results
    assert Run.objects.count() == 5
    assert len(set(Run.objects.values_list("scheduled_for", flat=True))) == 5


def explain(tick: Callable[[], object], table: str, count: int = 1) -> list[str]:
    """The plans of the queries of `tick` about the table; there are `count`."""
    with CaptureQueriesContext(connection) as captured:
        tick()
    of_table = [query["sql"] for query in captured if table in query["sql"]]
    assert len(of_table) == count, of_table
    plans = []
    with connection.cursor() as cursor:
        for sql in of_table:
            cursor.execute(f"EXPLAIN {sql}")
            plans.append("\n".join(row[0] for row in cursor.fetchall()))
    return plans


def test_a_tick_with_ten_thousand_schedules_reads_the_index(make_job: Callable[..., Job]) -> None:
    now, jobs = database_now(), [make_job() for _ in range(4)]
    Schedule.objects.bulk_create(
        Schedule(job=jobs[n % 4], name=str(n), rule="@daily", due_at=now + timedelta(hours=1, minutes=n))
        for n in range(10_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    ticks = (ScheduleTicker()._fire_and_find_pause, 1), (lambda: fire_due(Tick(0, None)), 1)
    for tick, count in (*ticks, (lambda: fire_round(Tick(0, None), 0), 2)):
        for plan in explain(tick, "schedules_schedule", count):
            assert "schedule_due" in plan, plan
            assert "Limit" in plan, plan
            assert "Seq Scan on schedules_schedule" not in plan, plan


def test_the_ledger_is_read_by_its_index(job: Job) -> None:
    schedules = [store_schedule(job, name=str(n)) for n in range(20)]
    start = instant("2026-01-01")
    Occurrence.objects.bulk_create(
        Occurrence(
            schedule=schedules[n % 20],
            nominal_at=firing.to_datetime(start + n),
            last_nominal_at=firing.to_datetime(start + n),
            rule_number=1,
            state="missed",
        )
        for n in range(4_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    page = schedules[3].occurrences.order_by("-nominal_at", "-pk")[:101].explain()
    assert "occurrence_of_schedule" in page, page
    rule = firing.build_plan(schedules[3]).rule
    decision = firing.Decision(start, firing.State.RAN)
    label = firing.find_label(rule, decision)
    [plan] = explain(lambda: firing._is_decided(schedules[3], decision, label), "schedules_occurrence")
    assert "Seq Scan" not in plan, plan


def test_of_processes_that_register_at_once_one_starts_the_installation() -> None:
    for attempt in range(5):
        ZoneDataReport.objects.update(ended_at=database_now() - timedelta(minutes=1))
        InstallationStart.objects.all().delete()
        names = [f"{attempt}-{number}" for number in range(4)]

        def start(number: int, names: list[str] = names) -> bool | None:
            starts.register_process(names[number])
            return starts.decide_start(names[number])

        results = run_at_once(4, start)
        assert sorted(map(str, results)) == ["None", "None", "None", "True"], results
        for name in names:
            starts.report_zone_data(name)
        assert [starts.decide_start(name) for name in names].count(True) == 1, "the same one"
        assert InstallationStart.objects.count() == 1


def test_a_calendar_is_changed_while_its_schedules_fire(make_job: Callable[..., Job]) -> None:
    """Each time has one row, and no thread waits for ever for another."""
    calendar = calendars.add_calendar({"name": "home"}, get_admin())
    start = database_now().replace(second=0, microsecond=0) - timedelta(minutes=2)
    for number in range(20):
        cursor = f"{start:%Y-%m-%dT%H:%M}"
        values = {"overlap": "allow", "calendar": calendar, "name": str(number)}
        store_schedule(make_job(), "* * * * *", cursor, **values)

    def work(number: int) -> object:
        if number == 0:
            day = f"{start + timedelta(days=40):%Y-%m-%d} Closed"
            return calendars.save_calendar(calendar, {"dates": [day]}, get_admin()).version
        return fire_due(Tick(int(database_now().timestamp()), None))

    results = run_at_once(3, work)
    changed = results[0]
    assert changed == 2 or getattr(changed, "code", "") == "changed_meanwhile", results
    assert all(isinstance(result, int) for result in results[1:]), results
    rows = Counter(Occurrence.objects.values_list("schedule", "nominal_at"))
    assert set(rows.values()) == {1}
    assert Run.objects.count() == Occurrence.objects.filter(run__isnull=False).count()
