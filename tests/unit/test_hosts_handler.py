"""The executor's RunHandler and the end of a run: while the database is away, and after another process took over."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from cronium_admin.logs.store import LogWriter
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run
from cronium_admin.variables.models import Receipt
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.run_handler import DatabaseRunHandler
from executor.spec import RunResult

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
DONE = RunResult("succeeded", "exit_code", "The script exited with code 0.", 0)


@pytest.fixture
def handler(database: DatabaseThreads) -> Iterator[Callable[..., DatabaseRunHandler]]:
    writer = LogWriter()
    yield lambda run, epoch=1: DatabaseRunHandler(run.pk, epoch, database, writer)
    writer.close()


def test_a_database_that_is_away_at_the_end_leaves_the_run_to_who_comes_next(
    run: Run, handler: Callable[..., DatabaseRunHandler], database: DatabaseThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database answers again a moment later: then only the run's real result may be written."""
    Run.objects.filter(pk=run.pk).update(status="running", lease_epoch=1)
    finish, calls = state_machine.finish, list[Any]()

    def away_once(*given: Any) -> bool:
        calls.append(given)
        if len(calls) == 1:
            database._closed.set()  # its worker ends, and tries no more
            raise OperationalError("the server closed the connection")
        return finish(*given)

    monkeypatch.setattr(state_machine, "finish", away_once)
    with pytest.raises(OperationalError):
        handler(run).finish(DONE)
    run.refresh_from_db()
    assert (run.status, len(calls)) == ("running", 1)


def receipts(run: Run) -> int:
    return Receipt.objects.filter(run=run).count()


def test_what_a_second_attempt_may_ask_again_outlives_the_clean_up_of_the_first(
    run: Run, handler: Callable[..., DatabaseRunHandler]
) -> None:
    first = handler(run, 1)
    Receipt.objects.create(run=run, key="request:1", what="PUT /variables/day", answer="{}")
    Run.objects.filter(pk=run.pk).update(status="starting", lease_epoch=3)  # it waited again, and was claimed again
    first.mark_cleaned()
    assert receipts(run) == 1
    Run.objects.filter(pk=run.pk).update(status="succeeded", finished_at=timezone.now())
    handler(run, 3).mark_cleaned()
    run.refresh_from_db()
    assert (receipts(run), run.cleaned_at is not None) == (0, True)
