"""The order of claims: priority, with a level for every ten minutes of waiting; the oldest first among equals."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cronium_admin.core.database.clock import Now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides
from cronium_admin.workers.scheduling.capacity import Capacity, choose_next_run
from tests.users import get_admin

Wait = Callable[..., Run]


@pytest.fixture
def waiting(job: Job) -> Wait:
    def make(priority: int, minutes: float) -> Run:
        run = launch(job, get_admin(), Overrides(priority=priority))
        Run.objects.filter(pk=run.pk).update(created_at=Now() - timedelta(minutes=minutes))
        return run

    return make


def list_order() -> list[int]:
    numbers = []
    while pk := choose_next_run("east", Capacity()):
        numbers.append(Run.objects.get(pk=pk).number)
        Run.objects.filter(pk=pk).update(status="succeeded")
    return numbers


@pytest.mark.parametrize(
    ("runs", "order"),
    [
        ([(3, 2), (5, 1), (1, 3), (4, 0)], [2, 4, 1, 3]),
        ([(3, 1), (3, 9), (3, 5)], [2, 3, 1]),
        ([(5, 0), (1, 41)], [2, 1]),
        ([(5, 0), (1, 39)], [1, 2]),
        ([(2, 0), (1, 11)], [2, 1]),
        ([(4, 6), (5, 0)], [2, 1]),
    ],
)
def test_the_order(waiting: Wait, runs: list[tuple[int, float]], order: list[int]) -> None:
    for priority, minutes in runs:
        waiting(priority, minutes)
    assert list_order() == order


def test_a_claim_reads_the_index_and_sorts_nothing(job: Job) -> None:
    launch(job, get_admin())
    with CaptureQueriesContext(connection) as captured:
        assert choose_next_run("east", Capacity())
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {captured[0]['sql']}")
        plan = "\n".join(str(row[-1]) for row in cursor.fetchall())
    assert "run_waiting" in plan, plan
    assert "TEMP B-TREE FOR ORDER BY" not in plan.replace("TEMP B-TREE FOR GROUP BY", ""), plan


def test_the_priority_of_a_job_is_that_of_its_runs(make_job: Callable[..., Any]) -> None:
    low, high = make_job(priority=1), make_job(priority=5)
    first, second = launch(low, get_admin()), launch(high, get_admin())
    assert (first.priority, second.priority) == (1, 5)
    assert choose_next_run("east", Capacity()) == second.pk
