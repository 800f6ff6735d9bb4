"""Adopted runs that a worker cannot resume: they end, or are retried, and delay no other run."""

import threading
from collections.abc import Callable, Iterator

import pytest
from django.utils import timezone

from cronium_admin.jobs.models import Job
from cronium_admin.logs import seal_orphans
from cronium_admin.logs.models import LogChunk
from cronium_admin.logs.store import RunLog, commit_writes
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.workers.runner import Runner
from executor import naming
from executor.docker.errors import EngineUnreachable
from tests.fakes.engine import FakeEngine
from tests.unit.test_logs_gaps import text_batch
from tests.unit.test_recovery import put
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    yield made
    made.close()


@pytest.fixture
def runner(engine: FakeEngine, transactional_db: None) -> Iterator[Runner]:
    made = Runner("east", engine)
    yield made
    made.close(1)


@pytest.fixture
def resumed(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs that got a slot."""
    ids: list[str] = []
    monkeypatch.setattr(
        runner.context.supervisor, "start", lambda spec, handler, *rest, **more: ids.append(spec.run_id)
    )
    monkeypatch.setattr(runner.context.supervisor, "list_active", lambda: frozenset(ids))
    return ids


@pytest.fixture
def left(engine: FakeEngine, transactional_db: None, make_job: Callable[..., Job]) -> list[Run]:
    """Three runs of an ended process, each with a stored line and a container; the first log is damaged."""
    runs = [launch(make_job(), get_admin()) for _ in range(3)]
    for run in runs:
        put(run, Status.RUNNING, host="east", started_at=timezone.now())
        commit_writes([RunLog(run.pk, 2).prepare_write(text_batch(b"one\n"))])
        labels = {naming.LABEL_INSTANCE: get_instance_id(), naming.LABEL_RUN: str(run.pk), naming.LABEL_ROLE: "main"}
        engine.create_container(naming.name_main(str(run.pk)), {"Image": "runner:bash", "Labels": labels})
    LogChunk.objects.filter(run=runs[0]).update(data=b"\x01no zstd frame")
    return runs


def test_a_damaged_log_ends_its_run_and_neither_the_start_nor_another_run(
    runner: Runner, engine: FakeEngine, resumed: list[str], left: list[Run]
) -> None:
    runner.start()
    assert set(resumed) == {str(run.pk) for run in left[1:]}
    left[0].refresh_from_db()
    assert (left[0].status, left[0].reason) == (Status.ERRORED, "log_damaged")
    assert "log of this run can't be read" in left[0].message
    names = [naming.name_main(str(run.pk)) for run in left]
    assert [name in engine.containers for name in names] == [False, True, True]


def test_its_script_is_stopped_before_the_run_ends(
    runner: Runner, engine: FakeEngine, resumed: list[str], left: list[Run]
) -> None:
    """A run must not be ended while its script runs."""
    runner.context.leadership.is_leader = runner.context.leadership.acquire()
    engine.fail("inspect", EngineUnreachable("no answer"))
    runner.takeover.adopt_runs()
    left[0].refresh_from_db()
    assert (left[0].status, len(resumed)) == (Status.RUNNING, 2)
    runner.takeover.adopt_runs()
    left[0].refresh_from_db()
    assert (left[0].status, len(resumed)) == (Status.ERRORED, 2)


def test_a_log_that_takes_long_to_seal_delays_no_claim(
    runner: Runner, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread, waits = launch(job, get_admin()), launch(job, get_admin())
    put(unread, Status.LOST, started_at=timezone.now(), finished_at=timezone.now())
    sealing, over, claimed = threading.Event(), threading.Event(), threading.Event()

    def seal(run_id: object, epoch: int) -> bool:
        sealing.set()
        return over.wait(30)

    monkeypatch.setattr(seal_orphans, "SECONDS", 0.01)
    sealer = seal_orphans.OrphanSealer()
    monkeypatch.setattr(seal_orphans, "_seal_log", seal)
    monkeypatch.setattr(runner.context.supervisor, "start", lambda spec, handler, *rest, **more: claimed.set())
    try:
        sealer.start()
        assert sealing.wait(10)
        runner.context.leadership.is_leader = runner.context.leadership.acquire()
        runner.takeover.schedule_sweep()
        runner.dispatch()
        assert claimed.is_set()
        waits.refresh_from_db()
        assert waits.status == Status.STARTING
    finally:
        over.set()
        sealer.stop(10)
    assert any(isinstance(one, seal_orphans.OrphanSealer) for one in runner.tasks)


def test_an_unforeseen_error_holds_up_no_other_run_and_is_tried_again(
    runner: Runner, resumed: list[str], left: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.context.leadership.is_leader = runner.context.leadership.acquire()
    resume = RunLog.resume

    def fail(run_id: object, epoch: int) -> RunLog:
        if run_id == left[1].pk:
            raise ValueError("unforeseen")
        return resume(run_id, epoch)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "resume", fail)
        runner.takeover.adopt_runs()
    assert resumed == [str(left[2].pk)]
    runner.takeover.adopt_runs()
    assert resumed == [str(left[2].pk), str(left[1].pk)]
    left[1].refresh_from_db()
    assert left[1].status == Status.RUNNING
