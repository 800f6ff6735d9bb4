"""Long-lived threads renew their database connections around each unit of work."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from cronium_admin.core.database.threads import DatabaseExecutor, database_work


@pytest.fixture
def own_file(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The alias of a SQLite database in a separate file."""
    alias = "of_threads"
    connections.databases[alias] = connections.configure_settings(
        {"default": {}, alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "own.sqlite3")}}
    )[alias]
    with django_db_blocker.unblock():
        yield alias
    del connections.databases[alias]


def test_a_thread_opens_sqlite_once(own_file: str) -> None:
    def use() -> int:
        connections[own_file].ensure_connection()
        return id(connections[own_file].connection)

    with DatabaseExecutor(1) as threads:
        first, second = (threads.submit(use).result() for _ in range(2))
        threads.submit(lambda: connections[own_file].close()).result()
    assert first == second


@pytest.mark.django_db  # the process's own connection may be open already
def test_an_error_of_the_work_reaches_its_caller() -> None:
    def fail() -> None:
        raise LookupError("gone")

    with DatabaseExecutor(1) as threads, pytest.raises(LookupError, match="gone"):
        threads.submit(fail).result()
    with pytest.raises(LookupError), database_work():
        fail()
