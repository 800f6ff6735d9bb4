"""Limits under claims of many hosts, and the order of claims among many waiting runs. test_on_postgres runs it."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from cronium_admin.jobs.models import Job, QueueLimit
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import ON_HOST, Run, Status
from cronium_admin.runs.overrides import Overrides
from cronium_admin.runs.state_machine import Ending
from cronium_admin.workers.scheduling.capacity import Capacity, choose_next_run
from tests.limits import limit_job
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
LAUNCHES, LIMIT, CLAIMERS = 200, 3, 8
UNLIMITED = Capacity(("default",))


@pytest.fixture(autouse=True)
def _on_postgres() -> None:
    assert connection.vendor == "postgresql"


class Watch:
    """Counts the runs on hosts, by job and key, from a connection of its own, until it is stopped."""

    def __init__(self) -> None:
        self.most: Counter[object] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _count(self) -> None:
        try:
            while not self._stop.is_set():
                active = Run.objects.filter(status__in=ON_HOST).values_list("job_id", "concurrency_key")
                self.most |= Counter(active)
        finally:
            connections.close_all()


def claim(host: str) -> Run | None:
    return state_machine.claim_next(host, host, partial(choose_next_run, host, UNLIMITED))


def work_off(number: int) -> list[object]:
    """Claims and ends runs, as a host does, until none waits."""
    done: list[object] = []
    try:
        while Run.objects.filter(status=Status.QUEUED).exists():
            run = claim(f"host-{number}")
            if run is None:
                time.sleep(0.002)
                continue
            assert state_machine.finish(run.pk, run.lease_epoch, Ending(Status.SUCCEEDED, "exit_code", ""))
            done.append(run.pk)
    finally:
        connections.close_all()
    return done


def launch_many(job: Job, inputs: list[object]) -> None:
    def start(part: list[object]) -> None:
        try:
            for value in part:
                launch(job, get_admin(), Overrides(input=value))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, [inputs[n::4] for n in range(4)]))


def work_with_many_hosts() -> tuple[list[object], Counter[object]]:
    with Watch() as watch, ThreadPoolExecutor(CLAIMERS) as pool:
        done = [pk for part in pool.map(work_off, range(CLAIMERS)) for pk in part]
    return done, watch.most


def test_two_hundred_launches_never_exceed_the_limit_of_each_key(job: Job) -> None:
    job = limit_job(job, LIMIT, key="customer")
    launch_many(job, [{"customer": n % 2} for n in range(LAUNCHES)])
    done, most = work_with_many_hosts()
    assert len(set(done)) == len(done) == LAUNCHES
    assert set(most) == {(job.pk, "0"), (job.pk, "1")}
    assert max(most.values()) <= LIMIT, most


def test_the_limit_of_a_queue_counts_all_jobs_and_hosts(make_job: Callable[..., Job]) -> None:
    QueueLimit.objects.create(queue="default", max_running=LIMIT)
    jobs = [make_job() for _ in range(4)]
    for n in range(60):
        launch(jobs[n % 4], get_admin())
    claimed = []
    with ThreadPoolExecutor(CLAIMERS) as pool:

        def claim_all(number: int) -> list[Run]:
            try:
                return [run for _ in range(4) if (run := claim(f"host-{number}"))]
            finally:
                connections.close_all()

        claimed = [run for part in pool.map(claim_all, range(CLAIMERS)) for run in part]
    assert len(claimed) == LIMIT == Run.objects.filter(status__in=ON_HOST).count()


def test_two_claims_at_once_count_each_other(job: Job) -> None:
    """The second has chosen before the first commits."""
    job = limit_job(job, 1)
    for _ in range(2):
        launch(job, get_admin())
    may_commit, results = threading.Event(), []

    def slow() -> object:
        chosen = choose_next_run("slow", UNLIMITED)
        has_chosen.set()
        assert may_commit.wait(30)
        return chosen

    def work() -> None:
        try:
            results.append(state_machine.claim_next("slow", "slow", slow))  # type: ignore[arg-type]
        finally:
            connections.close_all()

    has_chosen = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    assert has_chosen.wait(30)
    begun = time.monotonic()
    assert claim("fast") is None, "it does not wait for the lock of a process that may be frozen"
    assert time.monotonic() - begun < 5
    may_commit.set()
    thread.join(30)
    assert results[0] is not None
    assert claim("fast") is None
    assert Run.objects.filter(status__in=ON_HOST).count() == 1


def test_cancel_oldest_of_many_launches_leaves_the_newest(job: Job) -> None:
    job = limit_job(job, 2, when_full="cancel_oldest")
    launch_many(job, [None] * 40)
    assert Counter(Run.objects.values_list("status", flat=True)) == {Status.QUEUED: 2, Status.CANCELLED: 38}
    assert set(Run.objects.filter(status=Status.QUEUED).values_list("number", flat=True)) == {39, 40}


def explain_claim() -> str:
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        assert choose_next_run("east", UNLIMITED) is not None
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {captured[0]['sql'].replace('FOR NO KEY UPDATE SKIP LOCKED', '')}")
        return "\n".join(row[0] for row in cursor.fetchall())


def test_ten_thousand_waiting_runs_are_read_in_the_order_of_an_index(job: Job) -> None:
    first = launch(job, get_admin(), Overrides(priority=5))
    values = {field.attname: getattr(first, field.attname) for field in Run._meta.concrete_fields}
    for name in ("id", "created_at", "number", "priority"):
        del values[name]
    Run.objects.bulk_create(Run(number=n, priority=1 + n % 3, **values) for n in range(2, 10_002))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE runs_run")
    plan = explain_claim()
    assert "run_waiting" in plan, plan
    assert "Sort Key: runs_run" not in plan, plan
    assert "Sort Key: ((" not in plan, plan
    taken = claim("east")
    assert taken is not None
    assert taken.pk == first.pk
