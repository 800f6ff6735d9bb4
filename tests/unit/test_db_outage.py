"""A database that is full, read-only or away: 503 with a message, readable pages, few log lines."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError, IntegrityError, InternalError, OperationalError, connection
from django.test import Client

from cronium_admin.accounts import sessions
from cronium_admin.accounts.models import ApiToken, SignIn, User
from cronium_admin.accounts.session_store import SessionStore
from cronium_admin.core.database import outage
from cronium_admin.core.database.outage import find_outage
from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.ops import readiness
from cronium_admin.web.edge.sockets import SocketGuard
from cronium_admin.workers.database_threads import DatabaseThreads
from tests.conftest import Api

# As in production, no transaction is around a request.
WITHOUT_TRANSACTION = pytest.mark.django_db(transaction=True, serialized_rollback=True)
FULL, READ_ONLY, AWAY = "disk is full", "database is read-only", "database does not answer"


def of_sqlite(pragma: str) -> DatabaseError:
    """The error of a real SQLite database, as Django raises it."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE rows (data BLOB)")
        database.execute(f"PRAGMA {pragma}")
        try:
            database.execute("INSERT INTO rows VALUES (zeroblob(1000000))")
        except sqlite3.OperationalError as cause:
            return raised(OperationalError, cause)
    raise AssertionError("it was stored")


def raised(kind: type[DatabaseError], cause: Exception) -> DatabaseError:
    error = kind(*cause.args)
    error.__cause__ = cause
    return error


ERRORS: dict[str, tuple[Callable[[], DatabaseError], str]] = {
    "SQLite full": (lambda: of_sqlite("max_page_count = 2"), FULL),
    "SQLite read-only": (lambda: of_sqlite("query_only = 1"), READ_ONLY),
    "PostgreSQL full": (lambda: raised(OperationalError, psycopg.errors.DiskFull("no space left")), FULL),
    "PostgreSQL read-only": (
        lambda: raised(InternalError, psycopg.errors.ReadOnlySqlTransaction("read-only transaction")),
        READ_ONLY,
    ),
    "PostgreSQL away": (lambda: raised(OperationalError, psycopg.OperationalError("connection refused")), AWAY),
}


@pytest.fixture(autouse=True)
def _fresh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage.outage_log, "_logged_at", -outage.LOG_INTERVAL_SECONDS)
    monkeypatch.setattr(outage.outage_log, "_began_at", None)
    monkeypatch.setattr(outage.outage_log, "_suppressed", 0)


@contextmanager
def writes_fail(error: DatabaseError) -> Iterator[None]:
    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            raise error
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield


@pytest.fixture(params=ERRORS)
def failure(request: pytest.FixtureRequest) -> tuple[DatabaseError, str]:
    make, words = ERRORS[request.param]
    return make(), words


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "cronium.database"]


def test_the_api_answers_503_with_the_reason(
    editor: Api, failure: tuple[DatabaseError, str], caplog: pytest.LogCaptureFixture
) -> None:
    editor.get("/jobs")
    error, words = failure
    with writes_fail(error):
        for _ in range(3):
            answer = editor.post("/jobs", {"name": "New", "language": "bash", "script": "echo"})
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert words in answer.json()["detail"]
            assert answer["Retry-After"]
    assert not any(record.exc_info for record in caplog.records if record.name.startswith("cronium"))
    assert len(lines(caplog)) == 1, "one line a minute"


@WITHOUT_TRANSACTION
def test_a_page_answers_503_with_the_reason(
    people: dict[str, User], failure: tuple[DatabaseError, str], caplog: pytest.LogCaptureFixture
) -> None:
    person = people["editor"]
    person.set_password("correct horse battery")
    person.save()
    client = Client(raise_request_exception=False)
    client.force_login(person)
    error, words = failure
    with writes_fail(error):
        posted = client.post("/sign-out/")
        signed_in = Client(raise_request_exception=False).post(
            "/sign-in/", {"username": "editor", "password": "correct horse battery"}
        )
    for answer in (posted, signed_in):
        assert answer.status_code == 503
        assert words in answer.content.decode()
        assert answer["Retry-After"]
    assert not [record for record in caplog.records if record.name == "django.request"], "a traceback each"
    assert len(lines(caplog)) == 1


def test_other_errors_are_500_and_keep_their_line(
    people: dict[str, User], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise LookupError("ours")

    client = Client(raise_request_exception=False)
    client.force_login(people["editor"])
    monkeypatch.setattr(sessions, "is_ended", fail)
    assert client.get("/jobs/").status_code == 500
    answer = client.get("/api/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert len([record for record in caplog.records if record.name == "django.request"]) == 2


@WITHOUT_TRANSACTION
@pytest.mark.parametrize("kind", ["SQLite full", "SQLite read-only", "PostgreSQL full", "PostgreSQL read-only"])
def test_reading_goes_on(people: dict[str, User], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(people["viewer"])
    assert client.get("/jobs/").status_code == 200
    reader = Api(people["viewer"])
    monkeypatch.setattr(sessions, "_recorded_at", {})
    assert SignIn.objects.exists()
    assert ApiToken.objects.filter(last_used_at=None).exists()
    with writes_fail(ERRORS[kind][0]()):
        assert client.get("/jobs/").status_code == 200, "though its session's use is not noted"
        assert reader.get("/jobs").status_code == 200, "though its token's use is not noted"


def test_an_outage_ends_no_session(people: dict[str, User], failure: tuple[DatabaseError, str]) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(people["viewer"])
    store = SessionStore(client.session.session_key)
    store["cart"] = 1
    with writes_fail(failure[0]), pytest.raises(DatabaseError):
        store.save()
    store.model.objects.all().delete()
    with pytest.raises(UpdateError):
        store.save()


def test_the_worker_tries_again_and_tells_when_it_is_over(
    failure: tuple[DatabaseError, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    threads, tried = DatabaseThreads(1), list[int]()
    monkeypatch.setattr(threads._closed, "wait", lambda timeout: False)

    def work() -> str:
        tried.append(1)
        if len(tried) < 6:
            raise failure[0]
        return "done"

    assert threads.call(work) == "done"
    threads.close()
    assert len(tried) == 6
    told = lines(caplog)
    assert len(told) == 2
    assert "the database outage ended" in told[1]
    assert "4 more errors" in told[1]


def test_the_end_of_the_worker_ends_the_retries(failure: tuple[DatabaseError, str]) -> None:
    threads, attempts, failed = DatabaseThreads(1), list[int](), threading.Event()

    def work() -> None:
        attempts.append(1)
        if len(attempts) == 3:
            failed.set()
        raise failure[0]

    ended = threading.Thread(target=lambda: failed.wait(30) and threads.close())
    ended.start()
    with pytest.raises(type(failure[0])) as raised_error:
        threads.call(work)
    ended.join()
    assert raised_error.value is failure[0]
    assert len(attempts) >= 3


def test_what_is_no_outage_is_raised_at_once() -> None:
    threads = DatabaseThreads(1)

    def work() -> None:
        with closing(sqlite3.connect(":memory:")) as database:
            try:
                database.execute("SELECT * FROM missing")
            except sqlite3.OperationalError as cause:
                raise OperationalError(*cause.args) from cause

    with pytest.raises(OperationalError, match="no such table"):
        threads.call(work)
    threads.close()
    assert find_outage(IntegrityError("taken")) is None
    assert find_outage(raised(InternalError, psycopg.errors.InFailedSqlTransaction("aborted"))) is None


def test_a_background_task_tells_an_outage_in_a_line(
    failure: tuple[DatabaseError, str], caplog: pytest.LogCaptureFixture
) -> None:
    over, done = threading.Event(), list[int]()

    def once() -> float:
        done.append(1)
        if len(done) > 1:
            over.set()
        raise failure[0]

    made = PeriodicTask("sweeper", once, 0.0, over)
    made.start()
    made.thread.join(10)
    assert len(done) == 2
    assert not any(record.exc_info for record in caplog.records)
    assert len(lines(caplog)) == 1
    assert "sweeper" in lines(caplog)[0]


def test_a_handshake_is_answered_while_the_database_is_away(settings: Any, failure: tuple[DatabaseError, str]) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    sent: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise failure[0]

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"testserver"), (b"authorization", b"Bearer cronium_x")]
    scope = {"type": "websocket", "path": "/ws/x", "headers": headers}
    asyncio.run(SocketGuard(application, "/ws/x")(scope, receive, send))
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert sent[1]["code"] == 1013


def test_ready_wants_a_database_that_takes_writes(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert readiness._check_database()
    refused = {str(connection.settings_dict["NAME"])}
    monkeypatch.setattr(readiness.os, "access", lambda path, mode: str(path) not in refused)
    assert not readiness._check_database()
