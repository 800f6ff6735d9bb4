"""A host whose engine is away: runs stay queued, and fail only if no other host can claim them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.utils import timezone

from cronium_admin.jobs.models import Job
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.workers import engine_health
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.run_handler import DatabaseRunHandler
from cronium_admin.workers.runner import Runner
from cronium_admin.workers.scheduling.capacity import Capacity
from cronium_admin.workers.scheduling.diagnosis import explain_wait
from executor.docker.errors import EngineUnreachable
from executor.sandbox.options import SIDECAR_LIMITS
from executor.spec import MB, RunResult, RunSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import make_spec
from tests.users import get_admin

AWAY = RunResult("errored", "engine_unreachable", "The engine did not answer.")
pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


class Absent(FakeEngine):
    """An engine that answers only while `up`."""

    up = False

    def ping(self) -> None:
        if not self.up:
            raise EngineUnreachable("no answer")


@pytest.fixture
def engine() -> Iterator[Absent]:
    made = Absent()
    yield made
    made.close()


@pytest.fixture
def runner(engine: Absent, transactional_db: None) -> Iterator[Runner]:
    made = Runner("east", engine)
    made.context.leadership.is_leader = made.context.leadership.acquire()
    yield made
    made.close()


@pytest.fixture
def waits(transactional_db: None, make_job: Callable[..., Job]) -> Run:
    return launch(make_job(), get_admin())


@pytest.fixture
def claimed(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs that were started."""
    ids: list[str] = []
    monkeypatch.setattr(
        runner.context.supervisor, "start", lambda spec, handler, *rest, **more: ids.append(spec.run_id)
    )
    return ids


def test_it_claims_nothing_until_its_engine_answers(
    runner: Runner, engine: Absent, waits: Run, claimed: list[str]
) -> None:
    runner.dispatch()
    assert claimed == []
    engine.up = True
    runner.dispatch()
    assert claimed == [str(waits.pk)]


@pytest.mark.parametrize(
    ("other", "taken"), [({}, False), ({"queues": ["night"]}, True), ({"engine_error": "x"}, True)]
)
def test_after_a_while_it_claims_what_no_other_host_would_take(
    runner: Runner, waits: Run, claimed: list[str], other: dict[str, Any], taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_health, "LONG_OUTAGE_SECONDS", -1)
    Host.objects.create(**({"name": "west", "heartbeat_at": timezone.now()} | other))
    runner.dispatch()
    assert claimed == ([str(waits.pk)] if taken else [])


@dataclass(frozen=True, eq=False)
class Removing:
    """Enough of a slot whose sandbox is being removed."""

    spec: RunSpec


def test_a_run_is_not_claimed_again_while_its_last_sandbox_is_removed(
    runner: Runner, engine: Absent, waits: Run, claimed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.up = True
    slot: Any = Removing(make_spec(run_id=str(waits.pk)))
    runner.context.supervisor._removing.add(slot)
    runner.dispatch()
    assert claimed == []
    runner.context.supervisor._removing.discard(slot)
    runner.dispatch()
    assert claimed == [str(waits.pk)]


def test_a_host_counts_the_containers_of_ended_runs(
    runner: Runner, engine: Absent, waits: Run, claimed: list[str]
) -> None:
    engine.up = True
    runner.context.capacity = Capacity(memory_bytes=waits.memory_mb * MB + SIDECAR_LIMITS.memory_bytes)
    other: Any = Removing(make_spec())
    runner.context.supervisor._removing.add(other)
    runner.dispatch()
    assert claimed == []
    runner.context.supervisor._removing.discard(other)
    runner.dispatch()
    assert claimed == [str(waits.pk)]


def test_the_run_says_why_it_waits(waits: Run) -> None:
    Host.objects.create(name="east", heartbeat_at=timezone.now(), engine_error="no answer")
    told = explain_wait(waits, get_admin())
    assert told is not None
    assert told.stuck
    assert "the Docker Engine of host east does not answer" in told.words


def handler(runner: Runner, *, may_wait: bool) -> DatabaseRunHandler:
    run = state_machine.claim_next("east", runner.context.owner)
    assert run is not None
    return DatabaseRunHandler(
        run.pk, run.lease_epoch, runner.context.database, runner.context.writer, may_wait=may_wait
    )


def test_a_run_whose_engine_went_away_before_its_script_waits_again_a_few_times(runner: Runner, waits: Run) -> None:
    for _ in range(2):
        handler(runner, may_wait=True).finish(AWAY)
        waits.refresh_from_db()
        assert waits.status == "queued"
    handler(runner, may_wait=True).finish(AWAY)
    waits.refresh_from_db()
    assert (waits.status, waits.reason) == ("errored", "engine_unreachable")
    kinds = [event.kind for event in waits.events.all()]
    assert kinds.count("engine_away") == 2


def test_workers_that_died_with_it_cost_a_run_none_of_its_tries(runner: Runner, waits: Run) -> None:
    for _ in range(3):
        run = state_machine.claim_next("east", runner.context.owner)
        assert run is not None
        assert state_machine.requeue(run.pk, run.lease_epoch, "Its worker stopped before the script began")
    handler(runner, may_wait=True).finish(AWAY)
    waits.refresh_from_db()
    assert waits.status == "queued"


def test_it_ends_where_the_engine_has_been_away_for_long_or_its_script_had_begun(runner: Runner, waits: Run) -> None:
    begun = handler(runner, may_wait=True)
    assert begun.mark_running("sha256:1", {})
    begun.finish(AWAY)
    waits.refresh_from_db()
    assert (waits.status, waits.reason) == ("errored", "engine_unreachable")
    assert waits.job is not None
    other = launch(waits.job, get_admin())
    handler(runner, may_wait=False).finish(AWAY)
    other.refresh_from_db()
    assert other.status == "errored"
