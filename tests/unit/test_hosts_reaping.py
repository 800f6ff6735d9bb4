"""The worker's garbage collection: the objects that it removes, and the runs that it marks as cleaned."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.gc import runs as gc_runs
from cronium_admin.workers.gc.collector import GarbageCollector
from cronium_admin.workers.hosts.models import Host
from executor.docker.errors import EngineUnreachable
from executor.naming import name_main
from executor.sandbox.options import build_main_container
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import make_spec
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    yield made
    made.close()


@pytest.fixture
def reaper(engine: FakeEngine, transactional_db: None) -> Iterator[GarbageCollector]:
    database = DatabaseThreads(1)
    yield GarbageCollector("east", "inst", engine, database, frozenset, lambda: True, threading.Event())
    database._pool.submit(connections.close_all).result()
    database.close()


def ended(run: Run, host: str = "east", ago: int = 60, **more: Any) -> None:
    at = timezone.now() - timedelta(seconds=ago)
    Run.objects.filter(pk=run.pk).update(**({"status": "lost", "host": host, "finished_at": at} | more))


def left_over(engine: FakeEngine, run: Run, host: str = "east", instance: str = "inst") -> str:
    spec = make_spec(run_id=str(run.pk), host=host, instance=instance)
    name = name_main(spec.run_id)
    engine.create_container(name, build_main_container(spec, None, "local"))
    return name


def cleaned(run: Run) -> bool:
    run.refresh_from_db()
    return run.cleaned_at is not None


class TestOtherHosts:
    @pytest.fixture
    def other(self, run: Run, engine: FakeEngine) -> str:
        ended(run, "old-name")
        return left_over(engine, run, "old-name")

    def test_what_a_renamed_host_has_left_is_removed(
        self, reaper: GarbageCollector, engine: FakeEngine, other: str, run: Run
    ) -> None:
        Host.objects.create(name="old-name", owner="dead", lease_expires_at=timezone.now() - timedelta(seconds=1))
        reaper.collect()
        assert engine.left == []
        assert cleaned(run)

    def test_a_host_with_a_process_sees_to_its_own(
        self, reaper: GarbageCollector, engine: FakeEngine, other: str
    ) -> None:
        Host.objects.create(name="old-name", owner="lives", lease_expires_at=timezone.now() + timedelta(seconds=9))
        reaper.collect()
        assert engine.left == [other]

    @pytest.mark.parametrize(
        "state", [{"ago": 1}, {"status": "running", "finished_at": None}, {"status": "queued", "finished_at": None}]
    )
    def test_a_run_that_lives_or_has_just_ended_keeps_its_things(
        self, reaper: GarbageCollector, engine: FakeEngine, other: str, run: Run, state: dict[str, Any]
    ) -> None:
        ended(run, "old-name", **state)
        reaper.collect()
        assert engine.left == [other]

    def test_another_installation_is_never_touched(
        self, reaper: GarbageCollector, engine: FakeEngine, run: Run
    ) -> None:
        ended(run, "old-name")
        name = left_over(engine, run, "old-name", "another")
        reaper.collect()
        assert engine.left == [name]


class TestCleaned:
    def test_an_ended_run_of_which_nothing_is_left_is_noted(self, reaper: GarbageCollector, run: Run) -> None:
        """Its worker died before it marked the run, or the run was lost with its host."""
        ended(run)
        reaper.collect()
        assert cleaned(run)

    def test_one_of_which_something_stays_is_not(
        self, reaper: GarbageCollector, engine: FakeEngine, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended(run)
        left_over(engine, run)
        monkeypatch.setattr("cronium_admin.workers.gc.collector.collect_leftovers", lambda *_: [])
        reaper.collect()
        assert not cleaned(run)
        monkeypatch.undo()
        reaper.collect()
        assert cleaned(run)

    @pytest.mark.parametrize(
        "state", [{"ago": 1}, {"host": "west"}, {"status": "running", "finished_at": None}, {"host": ""}]
    )
    def test_only_of_this_host_and_not_at_once(self, reaper: GarbageCollector, run: Run, state: dict[str, Any]) -> None:
        ended(run, **state)
        reaper.collect()
        assert not cleaned(run)

    def test_later_it_looks_back_for_a_while_only(
        self, reaper: GarbageCollector, run: Run, make_job: Callable[..., Job]
    ) -> None:
        ended(run, ago=7200)
        reaper.collect()
        assert cleaned(run), "the first time it looks at all"
        other = launch(make_job(), get_admin())
        ended(other, ago=7200)
        reaper.collect()
        assert not cleaned(other)

    def test_an_engine_that_is_away_leaves_all_as_it_is(
        self, reaper: GarbageCollector, engine: FakeEngine, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        ended(run)
        engine.fail("list_own_objects", EngineUnreachable("no answer"), 1)
        engine.fail("list_own_objects", EngineUnreachable("no answer"), 2)
        reaper.collect()
        assert not cleaned(run)
        assert "no answer" in caplog.text


def test_a_live_run_is_not_noted_as_clean(run: Run) -> None:
    gc_runs.mark_cleaned(run.pk)
    assert not cleaned(run)
