"""Runs that two processes end at once: one next attempt. test_on_postgres runs this file."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from cronium_admin.jobs.models import Job
from cronium_admin.jobs.retry import normalize_retry
from cronium_admin.runs import state_machine
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import LIVE, JobHealth, Run, Status
from cronium_admin.runs.state_machine import Ending
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
FAILED = Ending(Status.FAILED, "exit_code", "The script exited with code 1.", 1)
LOST = Ending(Status.LOST, "host_gone", "Gone.")
RUNS = 8


@pytest.fixture(autouse=True)
def _on_postgres() -> None:
    assert connection.vendor == "postgresql"


@pytest.fixture
def runs(make_job: Callable[..., Job]) -> list[Run]:
    """Running, with an expired lease."""
    job = make_job(retry=normalize_retry({"max": 3, "delay_seconds": 0, "on": ["failed", "lost"]}))
    runs = [launch(job, get_admin()) for _ in range(RUNS)]
    Run.objects.update(status=Status.RUNNING, lease_expires_at=timezone.now() - timedelta(hours=1))
    return runs


def run_at_once(*works: Callable[[], object]) -> list[object]:
    barrier = threading.Barrier(len(works))

    def start(work: Callable[[], object]) -> object:
        try:
            barrier.wait(30)
            return work()
        except Exception as error:  # noqa: BLE001 - the test judges it
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(start, works))


def test_the_host_and_the_sweep_end_a_run_at_once(runs: list[Run]) -> None:
    for run in runs:
        results = run_at_once(
            lambda run=run: state_machine.finish(run.pk, 0, FAILED),  # type: ignore[misc]
            lambda run=run: state_machine.end_abandoned(run.pk, 0, timedelta(0), LOST),  # type: ignore[misc]
        )
        assert sorted(map(str, results)) == ["False", "True"]
        assert Run.objects.filter(retry_of=run).count() == 1


def test_runs_of_one_job_end_at_once(runs: list[Run]) -> None:
    """Each end takes the job's next number while it holds its run."""
    results = run_at_once(*(lambda run=run: state_machine.finish(run.pk, 0, FAILED) for run in runs))  # type: ignore[misc]
    assert results == [True] * RUNS
    assert JobHealth.objects.values_list("failures", flat=True).get() == RUNS, "no end is lost"
    assert set(Run.objects.filter(attempt=2).values_list("retry_of", flat=True)) == {run.pk for run in runs}


def test_a_cancel_and_the_end_at_once_leave_nothing_live(runs: list[Run]) -> None:
    for run in runs:
        results = run_at_once(
            lambda run=run: state_machine.finish(run.pk, 0, FAILED),  # type: ignore[misc]
            lambda run=run: cancel(Run.objects.get(pk=run.pk), get_admin()),  # type: ignore[misc]
        )
        assert results == [True, None]
        assert not Run.objects.filter(retry_of=run, status__in=LIVE).exists()
