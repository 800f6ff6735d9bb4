"""The choice of the next run: a host claims runs of its queues that fit, the oldest first, and no large run starves."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from cronium_admin.core import metrics
from cronium_admin.jobs.models import Job
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.runner import Runner
from cronium_admin.workers.scheduling import capacity
from cronium_admin.workers.scheduling.capacity import MB, Capacity, Resources
from tests.fakes.engine import FakeEngine
from tests.users import get_admin

SIDECAR = 256 * MB
Queue = Callable[..., Run]


@pytest.fixture
def waiting(db: None, job: Job) -> Queue:
    """Creates a queued run; each has waited one second less than the previous one."""
    made: list[Run] = []

    def make(memory_mb: int = 100, cpu: str = "1", network: str = "none", ago: int = 30, **more: Any) -> Run:
        run = launch(job, by=get_admin(), trigger="api")
        at = timezone.now() - timedelta(seconds=ago - len(made))
        facts = {"memory_mb": memory_mb, "cpu": Decimal(cpu), "network": network, "created_at": at} | more
        Run.objects.filter(pk=run.pk).update(**facts)
        made.append(run)
        return run

    return make


def on(host: str, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(status=Status.RUNNING, host=host)


def test_the_oldest_that_fits_is_next(waiting: Queue) -> None:
    first, _ = waiting(), waiting()
    assert capacity.choose_next_run("east", Capacity()) == first.pk


def test_only_of_the_hosts_queues(waiting: Queue) -> None:
    waiting(queue="gpu")
    own = waiting(queue="night")
    assert capacity.choose_next_run("east", Capacity(("default", "night"))) == own.pk
    assert capacity.choose_next_run("east", Capacity()) is None


def test_a_drained_host_takes_nothing_from_that_moment_on(waiting: Queue) -> None:
    run = waiting()
    Host.objects.create(name="east", draining=True)
    assert capacity.choose_next_run("east", Capacity()) is None
    assert capacity.choose_next_run("west", Capacity()) == run.pk
    Host.objects.update(draining=False)
    assert capacity.choose_next_run("east", Capacity()) == run.pk


def test_the_memory_of_the_sidecar_counts(waiting: Queue) -> None:
    waiting(memory_mb=100, network="isolated")
    assert capacity.choose_next_run("east", Capacity(memory_bytes=100 * MB + SIDECAR - 1)) is None
    assert capacity.choose_next_run("east", Capacity(memory_bytes=100 * MB + SIDECAR)) is not None


def test_memory_is_promised_once(waiting: Queue) -> None:
    on("east", waiting(memory_mb=600))
    on("west", waiting(memory_mb=900))
    run = waiting(memory_mb=401)
    offer = Capacity(memory_bytes=1000 * MB)
    assert capacity.choose_next_run("east", offer) is None
    Run.objects.filter(pk=run.pk).update(memory_mb=400)
    assert capacity.choose_next_run("east", offer) == run.pk


def test_cpu_is_promised_so_many_times(waiting: Queue) -> None:
    for _ in range(3):
        on("east", waiting())
    run = waiting()
    assert capacity.choose_next_run("east", Capacity(cpus=2, overcommit=1.5)) is None
    assert capacity.choose_next_run("east", Capacity(cpus=2, overcommit=2)) == run.pk


def test_a_host_never_takes_what_its_engine_would_refuse(waiting: Queue) -> None:
    waiting(cpu="4")
    assert capacity.choose_next_run("east", Capacity(cpus=2, overcommit=10)) is None


def test_one_run_may_have_all_cpus_whatever_the_share(waiting: Queue) -> None:
    run = waiting(cpu="2")
    assert capacity.choose_next_run("east", Capacity(cpus=2, overcommit=0.5)) == run.pk


def test_a_large_run_is_passed_over_for_a_minute_and_then_waited_for(waiting: Queue) -> None:
    on("east", waiting(memory_mb=600))
    large, small = waiting(memory_mb=900), waiting()
    offer = Capacity(memory_bytes=1000 * MB)
    assert capacity.choose_next_run("east", offer) == small.pk
    Run.objects.filter(pk=large.pk).update(created_at=timezone.now() - timedelta(seconds=61))
    assert capacity.choose_next_run("east", offer) is None
    Run.objects.filter(host="east").update(status=Status.SUCCEEDED)
    assert capacity.choose_next_run("east", offer) == large.pk


def test_what_never_fits_holds_nobody_up(waiting: Queue) -> None:
    waiting(memory_mb=5000, ago=600)
    small = waiting(ago=600)
    assert capacity.choose_next_run("east", Capacity(memory_bytes=1000 * MB)) == small.pk


def test_many_that_never_fit_hold_nobody_up(waiting: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "MAX_CONSIDERED", 3)
    for _ in range(2):
        waiting(memory_mb=5000, ago=600)
        waiting(cpu="16", ago=600)
    small = waiting(ago=600)
    assert capacity.choose_next_run("east", Capacity(cpus=8.0, memory_bytes=1000 * MB)) == small.pk


@pytest.mark.parametrize("cpus", [None, 0.5, 1.999, 2, 64.0, 99.0, 100.0, 256.0])
@pytest.mark.parametrize("memory", [None, 0, 100 * MB, 100 * MB - 1, 100 * MB + SIDECAR, 100 * MB + SIDECAR - 1])
def test_what_ever_fits_is_the_same_of_a_run_and_of_its_row(
    waiting: Queue, cpus: float | None, memory: int | None
) -> None:
    for network in ("none", "isolated"):
        for cpu in ("0.5", "1.99", "2", "99.99"):
            waiting(network=network, cpu=cpu)
    offer = Capacity(cpus=cpus, memory_bytes=memory)
    rows = {run.pk: capacity.compute_required(run.cpu, run.memory_mb, run.network) for run in Run.objects.all()}
    found = set(Run.objects.filter(offer.build_fit_filter()).values_list("pk", flat=True))
    assert found == {pk for pk, wanted in rows.items() if offer.can_ever_fit(wanted)}


def test_what_is_promised_by_host(waiting: Queue) -> None:
    on("east", waiting(memory_mb=100, cpu="0.5"))
    on("east", waiting(memory_mb=50, cpu="1", network="isolated"))
    waiting()
    assert capacity.sum_reserved() == {"east": Resources(Decimal("1.5"), 150 * MB + SIDECAR)}


def test_a_claim_costs_few_queries(waiting: Queue, django_assert_num_queries: Any) -> None:
    for _ in range(30):
        waiting()
    with django_assert_num_queries(2):
        capacity.choose_next_run("east", Capacity(memory_bytes=1000 * MB))


def test_what_ended_runs_still_use_counts_beside_the_active_runs(waiting: Queue) -> None:
    on("east", waiting(memory_mb=400, cpu="1"))
    small = waiting(memory_mb=300, cpu="1")
    offer = Capacity(cpus=4.0, memory_bytes=1000 * MB)
    assert capacity.choose_next_run("east", offer, in_use=Resources(Decimal(2), 300 * MB)) == small.pk
    assert capacity.choose_next_run("east", offer, in_use=Resources(Decimal(2), 301 * MB)) is None
    assert capacity.choose_next_run("east", offer, in_use=Resources(Decimal("2.01"), 300 * MB)) is None


def test_who_was_slower_chooses_again(waiting: Queue) -> None:
    first, second = waiting(), waiting()
    chosen = iter([first.pk, second.pk])

    def slow() -> Any:
        run_id = next(chosen)
        if run_id == first.pk:
            state_machine.claim_next("west", "another", lambda: first.pk)
        return run_id

    claimed = state_machine.claim_next("east", "me", slow)
    assert claimed is not None
    assert claimed.pk == second.pk


@pytest.mark.parametrize("queues", ["GPU", "a b", ",", "x" * 41])
def test_a_worker_refuses_queues_that_are_none(queues: str) -> None:
    with pytest.raises((CommandError, SystemExit)):
        call_command("worker", "--queues", queues)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_heartbeat_tells_of_the_host() -> None:
    runner = Runner("east", FakeEngine(), ("default", "night"))
    try:
        metrics.ADOPTIONS.inc()
        runner.status.run_once()
        runner.heartbeat.beat()  # becomes the leader, and reports its capacity before it claims anything
        assert runner.context.capacity.memory_bytes
        row = Host.objects.get(name="east")
        assert row.queues == ["default", "night"]
        assert (row.cpus, row.memory_bytes) == (8.0, int(32 * 1024**3 * 0.9))
        assert row.load is not None
        assert (row.memory_used_bytes or 0) > 0
        assert row.counters["families"]["cronium_adoptions"][0][2] >= 1
    finally:
        runner.close(1)
