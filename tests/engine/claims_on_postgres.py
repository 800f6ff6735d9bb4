"""Claims of several hosts at once: no host waits for another or searches twice. test_on_postgres runs this file."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from django.db import connection, connections
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from cronium_admin.jobs.models import Job
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.workers.scheduling.capacity import Capacity, choose_next_run
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
UNLIMITED = Capacity(("default",))


@pytest.fixture(autouse=True)
def _on_postgres() -> None:
    assert connection.vendor == "postgresql"


def claim(host: str, capacity: Capacity = UNLIMITED, only_if: Q = state_machine.ALWAYS) -> Run | None:
    return state_machine.claim_next(host, f"owner of {host}", partial(choose_next_run, host, capacity), only_if)


@pytest.fixture
def runs(job: Job) -> list[Run]:
    """Oldest first."""
    return [launch(job, get_admin()) for _ in range(3)]


@contextmanager
def claiming(host: str) -> Iterator[None]:
    """`host` has chosen its next run, and claims it at the end of the block."""
    has_chosen, may_claim, claimed = threading.Event(), threading.Event(), []

    def choose() -> object:
        run_id = choose_next_run(host, UNLIMITED)
        has_chosen.set()
        assert may_claim.wait(30)
        return run_id

    def work() -> None:
        try:
            claimed.append(state_machine.claim_next(host, "owner", choose))  # type: ignore[arg-type]
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert has_chosen.wait(30)
        yield
    finally:
        may_claim.set()
        thread.join(30)
    assert claimed[0] is not None


def test_a_host_passes_over_a_run_that_another_is_claiming(runs: list[Run]) -> None:
    with claiming("slow"):
        taken = claim("fast")
        assert taken is not None
        assert taken.pk == runs[1].pk, "the oldest that nobody is claiming, without a wait"
    assert Run.objects.get(pk=runs[0].pk).host == "slow"


def test_a_host_that_comes_too_late_makes_one_query(job: Job) -> None:
    launch(job, get_admin())
    with claiming("slow"), CaptureQueriesContext(connection) as captured:
        assert claim("late") is None
    statements = [query["sql"] for query in captured if query["sql"] not in ("BEGIN", "COMMIT")]
    assert len(statements) == 1, statements
    assert "SKIP LOCKED" in statements[0]


def test_a_choice_that_is_not_claimed_is_free_again(runs: list[Run]) -> None:
    assert claim("lost its lease", only_if=Q(pk__isnull=True)) is None
    taken = claim("other")
    assert taken is not None
    assert taken.pk == runs[0].pk


def test_a_run_that_does_not_fit_now_is_passed_over(make_job: Callable[..., Job]) -> None:
    large = make_job(memory_mb=2000)
    capacity = Capacity(("default",), memory_bytes=3000 * 1024 * 1024)
    first, _, small = (launch(job, get_admin()) for job in (large, large, make_job(memory_mb=100)))
    for expected in (first, small):
        taken = claim("east", capacity)
        assert taken is not None
        assert taken.pk == expected.pk


def test_many_hosts_claim_each_run_once(job: Job) -> None:
    waiting = {launch(job, get_admin()).pk for _ in range(24)}

    def claim_all(number: int) -> list[object]:
        claimed = []
        try:
            while (run := claim(f"host-{number}")) is not None:
                claimed.append(run.pk)
        finally:
            connections.close_all()
        return claimed

    with ThreadPoolExecutor(8) as pool:
        claimed = [run_id for part in pool.map(claim_all, range(8)) for run_id in part]
    assert len(claimed) == len(set(claimed))
    # A host that finds all waiting runs locked stops; its next search finds what is left.
    assert set(claimed) <= waiting
    while (run := claim("last")) is not None:
        claimed.append(run.pk)
    assert set(claimed) == waiting
    assert set(Run.objects.values_list("status", "lease_epoch")) == {(Status.STARTING, 1)}
