"""The pool of a host on the fake engine: what is built, which run gets it, and when it is retired instead."""

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from cronium_admin.core import metrics
from cronium_admin.jobs.models import Job
from cronium_admin.runs import state_machine
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, RunEvent
from cronium_admin.warm import rows
from cronium_admin.warm.models import Kind, State, WarmSandbox
from cronium_admin.warm.shapes import WarmShape
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.run_trace import RunTrace
from cronium_admin.workers.runner import Runner
from cronium_admin.workers.scheduling.capacity import MB, Capacity
from cronium_admin.workers.warm import history, maker, remover
from cronium_admin.workers.warm.pacing import BuildBudget
from cronium_admin.workers.warm.pool import WaitingSandbox
from cronium_admin.workers.warm.status import describe_pool
from executor import naming
from executor.docker.errors import EngineError
from executor.run.supervisor import Supervisor
from executor.sandbox.subnets import SubnetPool
from tests.fakes.engine import FakeEngine
from tests.fresh_metrics import reset_metrics
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
IMAGE = "cronium/runner:bash-alpine"


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine((IMAGE, "cronium/runtime-api:latest", "other:1"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[None]:
    """A machine with nothing else to do. Without stems, which have tests of their own."""
    settings.CONFIG = settings.CONFIG.model_copy(update={"sandbox_network": "apart"})
    monkeypatch.setattr(maker.psutil, "cpu_percent", lambda interval: 10.0)
    monkeypatch.setattr(maker, "AFTER_TAKE_SECONDS", 0.0)
    monkeypatch.setattr("executor.sandbox.sandbox.MAIN_GRACE", 1)
    reset_metrics()
    yield
    reset_metrics()


@pytest.fixture
def runner(engine: FakeEngine, transactional_db: None) -> Iterator[Runner]:
    made = Runner("east", engine)
    made.context.leadership.is_leader = made.context.leadership.acquire()
    yield made
    if not made.context.closing.is_set():
        made.maker.remover.retire_all()
        made.maker.remover.drop_all()
        made.close(5)


@pytest.fixture
def job(make_job: Callable[..., Job], transactional_db: None) -> Job:
    return make_job(name="Report", slug="report", script="echo hello")


def settle(runner: Runner) -> int:
    """Lets the maker work until nothing is missing; returns the number of waiting sandboxes."""
    for _ in range(30):
        if runner.maker.run_once() > 0:
            break
    return len(wholes(runner))


def wholes(runner: Runner) -> list[WaitingSandbox]:
    return [item for item in runner.context.pool.list_items() if item.kind == Kind.WHOLE]


def demand(runner: Runner, job: Job, launches: int = 2, **changes: Any) -> WarmShape:
    """Launches of the job a few minutes ago, so that one sandbox of its shape should wait."""
    with transaction.atomic():
        shape = WarmShape.from_columns(WarmShape.from_row(launch(job, get_admin())).columns | changes)
        transaction.set_rollback(True)
    runner.maker.run_once()
    now = time.monotonic()
    for number in range(launches):
        runner.context.pool.arrivals.note_launch(shape, now - 500 + number * 100)
    return shape


def finish(runner: Runner, run: Run) -> Run:
    """Dispatches, and waits for the run's end and its clean-up."""
    runner.dispatch()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        run.refresh_from_db()
        if run.cleaned_at:
            return run
        time.sleep(0.02)
    raise AssertionError(f"{run.status}: {run.message}")


def refuse(*arguments: Any) -> None:
    raise DatabaseError("refused")


def events(run: Run) -> list[tuple[str, str]]:
    return list(RunEvent.objects.filter(run=run, kind="cold_start").values_list("kind", "message"))


def value(metric: Any, label: str) -> float:
    return float(metric.labels(label)._value.get())


def test_a_run_gets_the_one_that_waits_under_its_id(runner: Runner, engine: FakeEngine, job: Job) -> None:
    demand(runner, job)
    assert settle(runner) == 1
    (row,) = WarmSandbox.objects.all()
    assert (row.state, row.host_id, row.owner, row.kind) == (State.READY, "east", runner.context.owner, Kind.WHOLE)
    assert (len(row.shape), row.image_id) == (64, engine.describe_image(IMAGE).id)
    main = engine.inspect(naming.name_main(str(row.pk))).id
    created = engine.calls["create_container"]
    run = launch(job, get_admin())
    assert run.pk == row.pk
    run = finish(runner, run)
    assert (run.status, run.start_kind, run.cold_reason, run.is_warm) == ("succeeded", "warm", None, True)
    assert engine.calls["create_container"] == created
    assert main not in {container.id for container in engine.containers.values()}
    assert events(run) == []
    assert value(metrics.WARM_STARTS, "warm") == 1
    runner.maker.remover.delete_rows()
    assert not WarmSandbox.objects.filter(pk=run.pk).exists()


def test_the_next_one_is_built_and_taken_again(runner: Runner, job: Job) -> None:
    demand(runner, job)
    ids = set()
    for _ in range(3):
        assert settle(runner) >= 1
        ids.add(finish(runner, launch(job, get_admin())).pk)
    assert len(ids) == 3
    assert value(metrics.WARM_STARTS, "warm") == 3
    assert value(metrics.WARM_STARTS, "cold") == 0


def test_without_one_a_run_is_cold_and_says_why(runner: Runner, job: Job) -> None:
    run = finish(runner, launch(job, get_admin()))
    assert (run.start_kind, run.cold_reason, run.is_warm) == ("cold", "none_waiting", False)
    assert events(run) == [], "nothing was promised"
    assert value(metrics.WARM_MISSES, "none_waiting") == 1


def test_the_second_launch_within_ten_minutes_makes_the_first_one(runner: Runner, make_job: Callable[..., Job]) -> None:
    job = make_job(script="echo hello", image="other:1")  # no default
    finish(runner, launch(job, get_admin()))
    runner.maker.run_once()
    assert [shape.image for shape in runner.maker.plan.wanted] == [IMAGE], "the default of a language in use"
    finish(runner, launch(job, get_admin()))
    settle(runner)
    assert {item.shape.image for item in runner.context.pool.list_items()} == {IMAGE, "other:1"}


@pytest.mark.parametrize("network", ["isolated", "none", "egress"])
def test_of_each_network(runner: Runner, make_job: Callable[..., Job], network: str) -> None:
    job = make_job(network=network, egress=["a.example:443"] if network == "egress" else [])
    demand(runner, job)
    settle(runner)
    run = finish(runner, launch(job, get_admin()))
    assert (run.status, run.start_kind) == ("succeeded", "warm")


def test_switched_off_nothing_is_built_or_asked(runner: Runner, job: Job, settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"warm": "0"})
    runner.context.pool.arrivals.note_launch(WarmShape("bash", IMAGE, job.limits.cpu, 512, 100, 50, "isolated"), 1)
    assert settle(runner) == 0
    assert runner.maker.pause_reason == "CRONIUM_WARM is 0"
    run = finish(runner, launch(job, get_admin()))
    assert (run.start_kind, run.cold_reason) == ("cold", "off")
    assert value(metrics.WARM_MISSES, "none_waiting") == 0


class TestRetire:
    @pytest.fixture
    def waiting(self, runner: Runner, job: Job) -> uuid.UUID:
        demand(runner, job)
        assert settle(runner) == 1
        return runner.context.pool.list_items()[0].id

    @pytest.mark.parametrize("method", ["remove_container", "remove_network"])
    def test_a_removal_that_fails_is_tried_again(
        self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID, method: str
    ) -> None:
        engine.fail(method, EngineError("the engine killed it, but saw no end"))
        runner.maker.remover.retire_all()
        assert engine.left == []

    @pytest.mark.parametrize("is_last", [False, True])
    def test_what_an_engine_kept_that_was_away_is_removed_later(
        self,
        runner: Runner,
        engine: FakeEngine,
        waiting: uuid.UUID,
        settings: Any,
        monkeypatch: pytest.MonkeyPatch,
        is_last: bool,
    ) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"warm": "0"})
        for nth in range(1, 4):
            engine.fail("remove_network", EngineError("is away"), nth)
        runner.maker.run_once()
        assert naming.name_network(str(waiting)) in engine.left
        if is_last:
            runner.maker.start()
            runner.close(5)
        else:
            monkeypatch.setattr(remover, "LEFT_PAUSE", 0.0)
            runner.maker.run_once()
        assert engine.left == []

    def gone(self, runner: Runner, engine: FakeEngine, sandbox_id: uuid.UUID) -> bool:
        runner.maker.run_once()
        left = [name for name in engine.left if str(sandbox_id) in name]
        return not left and not WarmSandbox.objects.filter(pk=sandbox_id).exists()

    @pytest.mark.parametrize("attribute", ["is_draining", "is_unsafe"])
    def test_on_a_host_that_takes_no_runs(
        self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID, attribute: str
    ) -> None:
        setattr(runner.context, attribute, True)
        assert self.gone(runner, engine, waiting)
        assert settle(runner) == 0
        setattr(runner.context, attribute, False)
        assert settle(runner) == 1

    def test_when_the_limit_is_lowered(
        self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID, settings: Any
    ) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"warm": "0"})
        assert self.gone(runner, engine, waiting)

    def test_when_it_is_old(self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID) -> None:
        (item,) = runner.context.pool.list_items()
        assert 0.8 * 3600 <= item.expires_at - item.made_at <= 3600
        item.expires_at = time.monotonic() - 1
        assert self.gone(runner, engine, waiting)

    @pytest.mark.parametrize("name", [naming.name_sidecar, naming.name_main])
    def test_when_a_container_of_it_ends(
        self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID, name: Callable[[str], str]
    ) -> None:
        engine.stop(name(str(waiting)), 1)
        time.sleep(0.2)
        assert self.gone(runner, engine, waiting)

    def test_when_its_row_is_deleted(self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID) -> None:
        WarmSandbox.objects.all().delete()
        assert self.gone(runner, engine, waiting)

    def test_when_no_launch_needs_it_any_more(self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID) -> None:
        runner.context.pool.arrivals._demands.clear()
        runner.context.pool.arrivals.set_defaults(())
        assert self.gone(runner, engine, waiting)

    def test_when_a_run_needs_its_memory(
        self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID, make_job: Callable[..., Job]
    ) -> None:
        large = make_job(memory_mb=900, network="none")
        runner.context.capacity = Capacity(memory_bytes=910 * MB)
        finish(runner, launch(large, get_admin()))
        assert self.gone(runner, engine, waiting)

    def test_when_its_run_is_cancelled_before_its_claim(
        self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID, job: Job
    ) -> None:
        run = launch(job, get_admin())
        cancel(run, get_admin())
        assert not self.gone(runner, engine, waiting), "it may be claimed"
        WarmSandbox.objects.update(taken_at=timezone.now() - timedelta(seconds=11))
        assert self.gone(runner, engine, waiting)

    def test_at_the_end_of_the_worker(self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID) -> None:
        runner.maker.start()
        runner.close(5)
        assert engine.left == []
        assert not WarmSandbox.objects.exists()

    def test_a_promised_one_ends_with_its_worker_and_the_run_waits(
        self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID, job: Job
    ) -> None:
        run = launch(job, get_admin())
        main = engine.containers[naming.name_main(str(waiting))]
        runner.maker.start()
        runner.close(5)
        assert main.gone.wait(10)
        run.refresh_from_db()
        assert run.status == "queued"

    def test_without_the_lease_it_is_left_to_the_next_leader(
        self, runner: Runner, engine: FakeEngine, waiting: uuid.UUID, job: Job
    ) -> None:
        main = engine.containers[naming.name_main(str(waiting))]
        runner.context.leadership.is_leader = False
        runner.maker.run_once()
        assert main.gone.wait(10)
        assert engine.left, "the next leader removes it"
        Host.objects.update(owner="another", lease_expires_at=timezone.now() + timedelta(seconds=20))
        assert launch(job, get_admin()).pk != waiting
        assert rows.delete_rows_of_host("east", "another") == 1


class TestBroken:
    """A launch has taken it, and it cannot be used: the run begins cold, under the same id."""

    @pytest.fixture
    def promised(self, runner: Runner, job: Job) -> Run:
        demand(runner, job)
        assert settle(runner) == 1
        return launch(job, get_admin())

    def cold(self, runner: Runner, run: Run, reason: str) -> None:
        run = finish(runner, run)
        assert (run.status, run.start_kind, run.cold_reason) == ("succeeded", "cold", reason)
        assert len(events(run)) == 1
        assert value(metrics.WARM_MISSES, reason) == 1

    def test_it_was_removed(self, runner: Runner, promised: Run) -> None:
        item = runner.context.pool.remove(promised.pk)
        assert item
        item.sandbox.take_down()
        self.cold(runner, promised, "gone")
        runner.maker.run_once()
        assert not WarmSandbox.objects.filter(pk=promised.pk).exists()

    def test_its_image_was_replaced(self, runner: Runner, engine: FakeEngine, promised: Run) -> None:
        engine.tags[IMAGE] = "other:1"
        self.cold(runner, promised, "sandbox_mismatch")

    def test_the_settings_of_sandboxes_changed(self, runner: Runner, promised: Run, settings: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"log_limit_mb": 7})
        self.cold(runner, promised, "sandbox_mismatch")

    def test_the_row_of_the_run_says_otherwise(self, runner: Runner, promised: Run) -> None:
        Run.objects.update(read_only_root=False)
        self.cold(runner, promised, "sandbox_mismatch")

    def test_the_run_was_requeued(self, runner: Runner, promised: Run) -> None:
        Run.objects.update(lease_epoch=2)
        self.cold(runner, promised, "requeued")

    def test_its_host_did_not_claim_the_run(self, runner: Runner, promised: Run) -> None:
        Run.objects.update(warm_host="west", warm_until=timezone.now() - timedelta(seconds=1))
        runner.context.pool.remove(promised.pk).sandbox.take_down()  # type: ignore[union-attr]
        self.cold(runner, promised, "other_host")

    def test_it_was_retired_while_the_run_waited(self, runner: Runner, promised: Run) -> None:
        """The run is claimed under another epoch than that of the sandbox, which is being removed."""
        WarmSandbox.objects.update(taken_at=timezone.now() - timedelta(seconds=11))
        runner.maker.remover.check_items()
        self.cold(runner, promised, "gone")
        assert Run.objects.get(pk=promised.pk).lease_epoch == 2

    def test_it_was_retired_just_after_the_claim(self, runner: Runner, promised: Run) -> None:
        assert state_machine.claim_next("east", runner.context.owner)
        WarmSandbox.objects.update(taken_at=timezone.now() - timedelta(seconds=11))
        runner.maker.remover.check_items()
        runner.maker.remover.delete_rows()
        assert not WarmSandbox.objects.filter(pk=promised.pk).exists()
        run = Run.objects.get(pk=promised.pk)
        assert (run.status, run.lease_epoch) == ("starting", 1)
        runner.dispatcher._start_run(run, RunTrace.start(run))
        self.cold(runner, run, "gone")

    def test_the_engine_fails(self, runner: Runner, engine: FakeEngine, promised: Run) -> None:
        engine.fail("describe_image", EngineError("the disk is full"), 1)
        self.cold(runner, promised, "engine_error")

    def test_its_worker_was_killed(self, runner: Runner, engine: FakeEngine, job: Job, promised: Run) -> None:
        """The next worker has nothing in memory; what the other has left is replaced."""
        runner.maker.remover.drop_all()
        Host.objects.update(owner="", lease_expires_at=None)
        again = Runner("east", engine)
        again.context.leadership.is_leader = again.context.leadership.acquire()
        again.maker.run_once()
        assert not WarmSandbox.objects.exists()
        self.cold(again, promised, "gone")
        again.close(5)


def test_a_taken_one_is_released_when_the_database_refuses_a_change(
    runner: Runner, engine: FakeEngine, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand(runner, job)
    assert settle(runner) == 1
    run = launch(job, get_admin())
    WarmSandbox.objects.update(taken_at=timezone.now() - timedelta(seconds=11))
    with monkeypatch.context() as patched:
        patched.setattr(rows, "mark_lost", refuse)
        with pytest.raises(DatabaseError):
            runner.maker.run_once()
    runner.maker.remover.delete_rows()
    assert runner.context.pool.list_items() == []
    assert not WarmSandbox.objects.exists(), "garbage collection would count it as living"
    ended = finish(runner, run)
    assert (ended.status, ended.cold_reason, ended.lease_epoch) == ("succeeded", "gone", 2), ended.message


@pytest.mark.parametrize("name", ["west", "east"])
def test_another_worker_on_the_same_engine_claims_the_promised_run(
    runner: Runner, engine: FakeEngine, make_job: Callable[..., Job], tmp_path: Path, name: str
) -> None:
    """Another host, or the next leader of this host while this process was frozen. What the first one removes then is
    its own."""
    gate = tmp_path / "gate"
    job = make_job(script=f"echo up; until [ -e {gate} ]; do sleep 0.05; done; echo done", timeout_seconds=60)
    demand(runner, job)
    assert settle(runner) == 1
    run = launch(job, get_admin())
    assert run.warm_host == "east"
    Run.objects.update(warm_until=timezone.now() - timedelta(seconds=1))
    if name == "east":
        Host.objects.update(owner="", lease_expires_at=None)
    other = Runner(name, engine)
    other.context.leadership.is_leader = other.context.leadership.acquire()
    other.maker.run_once()
    other.dispatch()
    end = time.monotonic() + 20
    while time.monotonic() < end and Run.objects.get(pk=run.pk).status != "running":
        time.sleep(0.05)
    WarmSandbox.objects.update(taken_at=timezone.now() - timedelta(seconds=11))
    runner.maker.remover.check_items()  # as if it still led the host
    assert runner.context.pool.list_items() == []
    gate.touch()
    while time.monotonic() < end and not run.cleaned_at:
        run.refresh_from_db()
        time.sleep(0.05)
    assert (run.status, run.lease_epoch, run.host) == ("succeeded", 2, name), run.message
    assert run.cold_reason == ("other_host" if name == "west" else "gone")
    assert not [left for left in engine.left if str(run.pk) in left]
    other.close(5)


def test_another_host_claims_the_promised_run_and_nothing_of_the_sandbox_is_left(
    runner: Runner, engine: FakeEngine, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    """While the run is active on the engine of the other host, this one removes its own containers."""
    gate = tmp_path / "gate"
    job = make_job(script=f"until [ -e {gate} ]; do sleep 0.05; done", timeout_seconds=60)
    demand(runner, job)
    assert settle(runner) == 1
    run = launch(job, get_admin())
    Run.objects.update(warm_until=timezone.now() - timedelta(seconds=1))
    elsewhere = FakeEngine((IMAGE, "cronium/runtime-api:latest"))
    other = Runner("west", elsewhere)
    other.context.leadership.is_leader = other.context.leadership.acquire()
    other.dispatch()
    assert Run.objects.get(pk=run.pk).host == "west"
    WarmSandbox.objects.update(taken_at=timezone.now() - timedelta(seconds=11))
    runner.maker.remover.check_items()
    assert engine.left == []
    assert not WarmSandbox.objects.exists()
    gate.touch()
    assert finish(other, run).status == "succeeded"
    other.close(5)
    elsewhere.close()


class TestBuild:
    @pytest.mark.parametrize("busy", ["cpu", "build", "queue", "slots", "subnets", "memory", "budget"])
    def test_not_on_a_busy_host(self, runner: Runner, job: Job, monkeypatch: pytest.MonkeyPatch, busy: str) -> None:
        demand(runner, job)
        with monkeypatch.context() as patched:
            if busy == "cpu":
                runner.maker._budget.note_build(time.monotonic(), 0.1)
                patched.setattr(maker.psutil, "cpu_percent", lambda interval: 90.0)
            elif busy == "queue":
                patched.setattr(Supervisor, "has_waiting_builds", lambda supervisor: True)
            elif busy == "build":
                runner.maker._budget.note_build(time.monotonic(), 0.1)
                patched.setattr(Supervisor, "is_building", lambda supervisor: True)
            elif busy == "slots":
                patched.setattr(Supervisor, "count_free", lambda supervisor: 0)
            elif busy == "subnets":
                needed = 2 * (runner.context.supervisor.capacity + 1)
                patched.setattr(SubnetPool, "count_free", lambda pool: needed - 1)
            elif busy == "memory":
                runner.context.capacity = Capacity(memory_bytes=10 * MB)
            else:
                runner.maker._budget.note_build(time.monotonic(), 3600)
            assert settle(runner) == 0
            assert bool(runner.maker.delay_reason) == (busy != "slots")
        runner.context.capacity = Capacity()
        runner.maker._budget = BuildBudget()
        assert settle(runner) == 1

    def test_a_failing_shape_is_paused_and_reported(self, runner: Runner, engine: FakeEngine, job: Job) -> None:
        shape = demand(runner, job, image="missing:1")
        for _ in range(3):
            for failure in runner.maker.failures._failures.values():
                failure.until = 0.0
            runner.maker._not_before = 0.0
            runner.maker.run_once()
        assert "missing:1" in runner.maker.failures.describe(shape)
        runner.maker._not_before = 0.0
        assert settle(runner) == 1, "the default shape of the language"
        assert value(metrics.WARM_BUILDS, "failed") == 3
        assert {*WarmSandbox.objects.values_list("image", flat=True)} == {IMAGE}

    def test_a_failed_build_leaves_nothing(self, runner: Runner, engine: FakeEngine, job: Job) -> None:
        demand(runner, job)
        engine.fail("start", EngineError("no"), 2)
        runner.maker.run_once()
        assert engine.left == []
        assert not WarmSandbox.objects.exists()

    @pytest.mark.parametrize("query", ["mark_gone", "delete_row"])
    def test_a_failed_build_leaves_nothing_when_the_database_refuses_a_change(
        self, runner: Runner, engine: FakeEngine, job: Job, monkeypatch: pytest.MonkeyPatch, query: str
    ) -> None:
        demand(runner, job)
        engine.fail("start", EngineError("no"), 2)
        with monkeypatch.context() as patched:
            patched.setattr(rows, query, refuse)
            with pytest.raises(DatabaseError):
                runner.maker.run_once()
        assert engine.left == []
        failed = WarmSandbox.objects.get()
        runner.maker.run_once()
        assert not WarmSandbox.objects.filter(pk=failed.pk).exists()

    def test_a_sandbox_that_drifted_is_not_announced(self, runner: Runner, engine: FakeEngine, job: Job) -> None:
        demand(runner, job)
        engine.twist = lambda name, told: told.get("HostConfig", {}).update(Privileged=True)
        runner.maker.run_once()
        assert engine.left == []
        assert not WarmSandbox.objects.exists()

    def test_a_lease_that_is_lost_during_a_build(
        self, runner: Runner, engine: FakeEngine, job: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        demand(runner, job)
        build = maker.inspection.describe_violations

        def lose(report: Any) -> str:
            Host.objects.update(owner="another")
            return build(report)

        monkeypatch.setattr(maker.inspection, "describe_violations", lose)
        runner.maker.run_once()
        assert runner.context.pool.list_items() == []
        assert launch(job, get_admin()).warm_host is None

    def test_at_most_the_limit(self, runner: Runner, job: Job, settings: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"warm": "3"})
        shape = demand(runner, job)
        now = time.monotonic()
        for _ in range(300):
            runner.context.pool.arrivals.note_launch(shape, now)
        assert settle(runner) == 3
        assert runner.maker.plan.wanted[shape] > 3
        settings.CONFIG = settings.CONFIG.model_copy(update={"warm": "1"})
        runner.maker.run_once()
        assert len(runner.context.pool.list_items()) == 1

    def test_one_makes_way_for_a_shape_that_needs_it_more(self, runner: Runner, job: Job, settings: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"warm": "1"})
        demand(runner, job)
        assert settle(runner) == 1
        busy = demand(runner, job, memory_mb=256)
        for _ in range(100):
            runner.context.pool.arrivals.note_launch(busy, time.monotonic())
        assert settle(runner) == 1
        (item,) = runner.context.pool.list_items()
        assert item.shape != busy, "it is young"
        item.made_at -= 61
        assert settle(runner) == 1
        assert runner.context.pool.list_items()[0].shape == busy

    def test_garbage_collection_keeps_it(self, runner: Runner, engine: FakeEngine, job: Job) -> None:
        demand(runner, job)
        assert settle(runner) == 1
        before = engine.left
        runner.gc.collect_at_start()
        runner.gc.collect()
        assert engine.left == before
        launch(job, get_admin())
        runner.gc.collect()
        assert engine.left == before

    def test_a_full_host_makes_its_own_untakeable(
        self, runner: Runner, job: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        demand(runner, job)
        assert settle(runner) == 1
        with monkeypatch.context() as patched:
            patched.setattr(Supervisor, "count_free", lambda supervisor: 0)
            runner.maker.run_once()
            assert launch(job, get_admin()).warm_host is None
        runner.maker.run_once()
        assert launch(job, get_admin()).warm_host == "east"


class TestStems:
    @pytest.fixture(autouse=True)
    def _joined(self, _calm: None, settings: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"sandbox_network": "joined"})

    def kinds(self, runner: Runner) -> list[str]:
        settle(runner)
        return sorted(item.kind.value for item in runner.context.pool.list_items())

    def test_one_waits_for_any_launch_of_its_network(
        self, runner: Runner, engine: FakeEngine, make_job: Callable[..., Job]
    ) -> None:
        demand(runner, make_job(image="other:1"), launches=1)
        assert self.kinds(runner) == ["stem", "whole"], "the whole one is the default of the language"
        (stem,) = WarmSandbox.objects.filter(kind=Kind.STEM)
        assert (stem.network, stem.image, stem.cpu, stem.state) == ("isolated", "", 0, State.READY)
        assert naming.name_main(str(stem.pk)) not in engine.containers
        created = engine.calls["create_container"]
        run = finish(runner, launch(make_job(memory_mb=77, image="other:1"), get_admin()))
        assert (run.pk, run.status, run.start_kind, run.is_warm) == (stem.pk, "succeeded", "stem", True)
        assert engine.calls["create_container"] == created + 1
        assert run.sandbox_report
        assert value(metrics.WARM_STARTS, "stem") == 1
        assert events(run) == []

    def test_whole_ones_are_taken_first(self, runner: Runner, job: Job) -> None:
        demand(runner, job)
        assert self.kinds(runner) == ["stem", "whole"]
        starts = [finish(runner, launch(job, get_admin())).start_kind for _ in range(2)]
        assert starts == ["warm", "stem"]

    @pytest.mark.parametrize("network", ["egress", "none"])
    def test_other_networks_have_none(self, runner: Runner, make_job: Callable[..., Job], network: str) -> None:
        job = make_job(network=network, egress=["a.example:443"] if network == "egress" else [])
        demand(runner, job)
        runner.context.pool.arrivals.set_defaults(())
        runner.maker._defaults_at = time.monotonic()
        assert "stem" not in self.kinds(runner)

    def test_one_that_ended_is_replaced(self, runner: Runner, engine: FakeEngine, job: Job) -> None:
        demand(runner, job)
        self.kinds(runner)
        stem = WarmSandbox.objects.get(kind=Kind.STEM).pk
        engine.stop(naming.name_sidecar(str(stem)), 1)
        time.sleep(0.2)
        assert self.kinds(runner) == ["stem", "whole"]
        assert WarmSandbox.objects.get(kind=Kind.STEM).pk != stem

    def test_a_run_that_was_promised_a_broken_one_begins_cold(
        self, runner: Runner, engine: FakeEngine, make_job: Callable[..., Job]
    ) -> None:
        job = make_job(image="other:1")
        demand(runner, job, launches=1)
        self.kinds(runner)
        run = launch(job, get_admin())
        assert run.warm_host == "east"
        engine.tags["cronium/runtime-api:latest"] = "other:1"
        engine.images.add("other:1")
        run = finish(runner, run)
        assert (run.status, run.start_kind, run.cold_reason) == ("succeeded", "cold", "sandbox_mismatch")

    def test_the_report_lists_them(self, runner: Runner, job: Job) -> None:
        demand(runner, job)
        self.kinds(runner)
        shapes = describe_pool(runner.maker)["shapes"]
        assert sorted((shape["kind"], shape["waiting"], shape["target"]) for shape in shapes) == [
            ("stem", 1, 1),
            ("whole", 1, 1),
        ]


def test_the_launches_of_the_last_hour_count_from_the_start(runner: Runner, job: Job) -> None:
    runs = [launch(job, get_admin()) for _ in range(2)]
    Run.objects.update(host="east", status="failed", claimed_at=timezone.now())
    Run.objects.filter(pk=runs[0].pk).update(claimed_at=timezone.now() - timedelta(minutes=5))
    ages = [age for _, age in history.read_recent_launches("east")]
    assert ages == [pytest.approx(300, abs=5), pytest.approx(0, abs=5)]
    assert settle(runner) == 1


def test_the_default_shape_is_that_of_a_new_job(runner: Runner, job: Job) -> None:
    assert history.find_default_shapes(["bash"]) == [WarmShape.from_row(launch(job, get_admin()))]


def test_the_hosts_row_has_the_state_of_the_pool(runner: Runner, job: Job) -> None:
    demand(runner, job)
    settle(runner)
    finish(runner, launch(job, get_admin()))
    runner.heartbeat.beat()
    told = Host.objects.get(name="east").warm
    assert (told["limit"], told["paused"], told["hits"]["warm"]) == (4, "", 1)
    (shape,) = [shape for shape in told["shapes"] if shape["image"] == IMAGE]
    assert (shape["language"], shape["target"], shape["error"]) == ("bash", 1, "")
    assert (shape["hits"], shape["misses"]) == (1, 0)


def test_fast_launches_share_a_few(runner: Runner, job: Job, settings: Any) -> None:
    """Twenty launches on four that wait: four are warm, no id twice, all succeed."""
    settings.CONFIG = settings.CONFIG.model_copy(update={"warm": "4", "max_concurrent": 8})
    shape = demand(runner, job)
    for _ in range(300):
        runner.context.pool.arrivals.note_launch(shape, time.monotonic())
    assert settle(runner) == 4
    waiting = {item.id for item in runner.context.pool.list_items()}
    runs = [launch(job, get_admin()) for _ in range(20)]
    assert len({run.pk for run in runs}) == 20
    end = time.monotonic() + 60
    while Run.objects.exclude(status="succeeded").exists() and time.monotonic() < end:
        runner.dispatch()
        time.sleep(0.05)
    assert not Run.objects.exclude(status="succeeded").exists()
    assert {*Run.objects.filter(start_kind="warm").values_list("pk", flat=True)} == waiting
