"""`Run.error`: stored with the end of a failed run, by whichever worker ends it; and the words of why a run failed."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from cronium_admin.logs import run_error, store
from cronium_admin.logs.models import LogChunk
from cronium_admin.logs.store import LogWriter, RunLog
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run
from cronium_admin.runs.presentation.why import explain_run
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.run_handler import DatabaseRunHandler
from executor.spec import Batch, Cursor, Dropped, RunResult, Segment
from tests.conftest import Api

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
FAILED = RunResult("failed", "exit_code", "The script exited with code 1.", 1)
TRACE = b"""Traceback (most recent call last):
  File "/workspace/script.py", line 8, in <module>
    total += row["b"]
KeyError: 'b'
"""
ERROR = {"text": "KeyError: 'b'", "line": 6, "script_line": 8, "file": "script.py"}


@pytest.fixture
def host() -> Iterator[tuple[DatabaseThreads, LogWriter]]:
    database, writer = DatabaseThreads(1), LogWriter()
    yield database, writer
    writer.close()
    database._pool.submit(connections.close_all).result()
    database.close()


@pytest.fixture
def handler(run: Run, host: tuple[DatabaseThreads, LogWriter]) -> DatabaseRunHandler:
    Run.objects.filter(pk=run.pk).update(status="running", lease_epoch=1)
    return DatabaseRunHandler(run.pk, 1, *host)


def _write(handler: DatabaseRunHandler, *texts: tuple[int, bytes], dropped_lines: int = 0) -> None:
    for stream, text in texts:
        segment = Segment(stream, text.count(b"\n"), 1, text)
        handler.append(Batch((segment,), Cursor(), Cursor(), dropped=Dropped(dropped_lines, dropped_lines)))


def _end(run: Run, handler: DatabaseRunHandler, result: RunResult = FAILED) -> Run:
    handler.finish(result)
    run.refresh_from_db()
    assert run.status == result.status
    return run


def test_it_is_stored_with_the_end(run: Run, handler: DatabaseRunHandler, admin: Api) -> None:
    _write(handler, (1, b"one\ntwo\n"), (2, TRACE), (1, b"closing\n"))
    assert _end(run, handler).error == ERROR
    assert admin.get(f"/runs/{run.pk}").json()["error"] == ERROR
    assert admin.get("/runs").json()["items"][0]["error"] == ERROR


def test_a_run_that_another_worker_adopted(
    run: Run, handler: DatabaseRunHandler, host: tuple[DatabaseThreads, LogWriter]
) -> None:
    _write(handler, (1, b"one\ntwo\n"), (2, TRACE))
    assert state_machine.adopt(run.pk, 1, "next", "taken over")
    adopted = DatabaseRunHandler(run.pk, 2, *host, RunLog.resume(run.pk, 2))
    assert _end(run, adopted).error == ERROR


def test_a_traceback_in_several_chunks(run: Run, handler: DatabaseRunHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "GROW_INDEX_BYTES", 1)  # each batch has its own chunk
    first, second = TRACE[:70], TRACE[70:]
    cut = first.rindex(b"\n") + 1
    _write(handler, (1, b"one\ntwo\n"), (2, TRACE[:cut]), (2, first[cut:] + second))
    assert LogChunk.objects.filter(run=run).count() == 3
    assert _end(run, handler).error == ERROR


@pytest.mark.parametrize(
    ("result", "text", "found"),
    [
        (FAILED, b"no route\n", True),
        (RunResult("timed_out", "timeout", "Stopped at its time limit."), b"still working\n", False),
        (RunResult("timed_out", "timeout", "Stopped at its time limit."), TRACE, True),
        (RunResult("failed", "oom", "Out of memory."), b"allocating\n", False),
        (RunResult("succeeded", "exit_code", "Done.", 0), TRACE, False),
        (RunResult("cancelled", "cancelled", "Cancelled."), TRACE, False),
        (RunResult("lost", "container_gone", "Gone."), TRACE, False),
    ],
)
def test_which_ends_have_one(
    run: Run, handler: DatabaseRunHandler, result: RunResult, text: bytes, found: bool
) -> None:
    _write(handler, (2, text))
    assert (_end(run, handler, result).error is not None) == found


def test_a_log_with_dropped_lines_does_not_have_the_last(run: Run, handler: DatabaseRunHandler) -> None:
    _write(handler, (2, TRACE), dropped_lines=3)
    assert _end(run, handler).error is None


def test_a_run_without_output(run: Run, handler: DatabaseRunHandler) -> None:
    assert _end(run, handler).error is None
    assert str(explain_run(run)) == "The script exited with code 1."


def test_a_search_that_fails_does_not_keep_the_run(
    run: Run, handler: DatabaseRunHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("unexpected")

    monkeypatch.setattr("cronium_admin.workers.run_handler.find_run_error", fail)
    _write(handler, (2, TRACE))
    assert _end(run, handler).error is None


def test_a_damaged_log_does_not_keep_the_run(run: Run, handler: DatabaseRunHandler) -> None:
    _write(handler, (2, TRACE))
    LogChunk.objects.filter(run=run).update(data=b"\x01nonsense")
    assert _end(run, handler).error is None


def test_one_query_whatever_the_log_has(run: Run, handler: DatabaseRunHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "GROW_INDEX_BYTES", 1)
    for _ in range(20):
        _write(handler, (2, TRACE))
    with CaptureQueriesContext(connection) as captured:
        assert run_error.find_run_error(run.pk) is not None
    assert len(captured) == 1


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"status": "failed", "reason": "exit_code", "message": "Exited.", "error": ERROR}, "KeyError: 'b' (line 8)"),
        (
            {"status": "failed", "reason": "exit_code", "message": "Exited.", "error": ERROR | {"script_line": None}},
            "KeyError: 'b'",
        ),
        ({"status": "failed", "reason": "exit_code", "message": "Exited.\nMore.", "error": None}, "Exited."),
        ({"status": "failed", "reason": "oom", "message": "", "error": ERROR}, "Out of memory"),
        ({"status": "timed_out", "reason": "timeout", "message": "Stopped.", "error": ERROR}, "Stopped."),
        ({"status": "lost", "reason": "host_gone", "message": "", "error": None}, "Host gone"),
        ({"status": "succeeded", "reason": "exit_code", "message": "Done.", "error": None}, ""),
        ({"status": "running", "reason": "", "message": "", "error": None}, ""),
    ],
)
def test_the_words_of_why(run: Run, columns: dict[str, Any], words: str) -> None:
    for name, value in columns.items():
        setattr(run, name, value)
    assert str(explain_run(run)) == words
