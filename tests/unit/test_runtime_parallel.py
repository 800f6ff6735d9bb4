"""Concurrent writers of one variable, each with a separate database connection, so that locks are real."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from cronium_admin.runs.models import Run, Status
from cronium_admin.runtime_api import handlers
from cronium_admin.variables.models import Change, Receipt, Variable

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
WRITERS = 8


@pytest.fixture
def living(run: Run) -> Run:
    Run.objects.filter(pk=run.pk).update(status=Status.RUNNING)
    return run


def at_once(run: Run, asked: list[dict[str, Any]]) -> list[Any]:
    """Sends the requests concurrently from threads; returns the answers."""

    def ask(body: dict[str, Any]) -> Any:
        try:
            reply = handlers.handle_request(run.pk, "increment_variable", body)
            return reply.error or reply.data
        finally:
            connection.close()  # a thread's own; left open it would outlive the test

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(ask, asked))


def test_a_hundred_increments_are_a_hundred(living: Run) -> None:
    """From a missing variable on, so that several writers create the row."""
    answers = at_once(living, [{"key": "shared/n", "amount": 1} for _ in range(100)])
    assert sorted(answers) == list(range(1, 101))
    assert Variable.objects.get().value == 100
    assert sorted(Change.objects.values_list("version", flat=True)) == list(range(1, 101))


def test_one_write_sent_many_times_at_once_counts_once(living: Run) -> None:
    same = {"key": "n", "amount": 1, "idempotency_key": "once"}
    assert at_once(living, [same for _ in range(30)]) == [1] * 30
    assert (Variable.objects.get().value, Receipt.objects.count(), Change.objects.count()) == (1, 1, 1)


def test_two_runs_add_to_one_shared_variable(living: Run) -> None:
    """Each locks its own run's row, so only the variable's lock orders them."""
    other = Run.objects.get(pk=living.pk)
    other.pk, other.number = None, 2
    other._state.adding = True
    other.save()
    asked = [{"key": "shared/n", "amount": 1} for _ in range(50)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda one: at_once(one, asked), (living, other)))
    assert sorted(answers[0] + answers[1]) == list(range(1, 101))
    assert Variable.objects.get().value == 100
