"""The executor's RunHandler and the log: output that could not be stored, or is lost, is not in the seal."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DataError, connections

from cronium_admin.logs import read, store
from cronium_admin.logs.store import LogWriter
from cronium_admin.logs.verify import verify_log
from cronium_admin.runs.models import Run
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.run_handler import DatabaseRunHandler
from executor.spec import Batch, Cursor, RunResult, Segment

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def handler(run: Run) -> Iterator[DatabaseRunHandler]:
    Run.objects.filter(pk=run.pk).update(status="running", lease_epoch=1)
    database, writer = DatabaseThreads(1), LogWriter()
    yield DatabaseRunHandler(run.pk, 1, database, writer)
    writer.close()
    database._pool.submit(connections.close_all).result()
    database.close()


def say(handler: DatabaseRunHandler, text: bytes) -> None:
    handler.append(Batch((Segment(1, text.count(b"\n"), 1, text),), Cursor(), Cursor()))


def ended(run: Run, handler: DatabaseRunHandler, result: RunResult) -> tuple[Run, list[tuple[int, str]]]:
    handler.finish(result)
    run.refresh_from_db()
    state = read.read_state(run.pk)
    assert state is not None
    assert verify_log(run).problems == []
    return run, [(gap["after"], gap["cause"]) for gap in state.gaps]


def test_what_the_database_refused_is_a_gap_and_no_line(
    run: Run, handler: DatabaseRunHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(handler, b"one\ntwo\n")

    def refuse(*_: Any, **__: Any) -> None:
        raise DataError("no room for it")

    with monkeypatch.context() as patched:
        patched.setattr(store._CHUNKS, "execute", refuse)
        with pytest.raises(DataError):
            say(handler, b"three\n")
    run, gaps = ended(run, handler, RunResult("errored", "internal_error", "It failed."))
    assert (run.log_lines, run.log_bytes, gaps) == (2, 8, [(2, "not_stored")])


def test_what_a_vanished_container_said_at_last_is_a_gap(run: Run, handler: DatabaseRunHandler) -> None:
    say(handler, b"one\n")
    run, gaps = ended(run, handler, RunResult("lost", "container_gone", "Nobody knows."))
    assert (run.log_lines, run.log_gaps, gaps) == (1, 1, [(1, "container_gone")])
