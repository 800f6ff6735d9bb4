"""Long-lived threads, and a PostgreSQL server that closes all connections, as its restart does."""

import threading
from collections.abc import Iterator

import psycopg
import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from cronium_admin.core.database.threads import DatabaseExecutor
from cronium_admin.core.database.url import parse_database_url
from tests.engine.scaled import DATABASE, needs_services

pytestmark = needs_services
ALIAS = "of_threads"
END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'threads of a test'"


@pytest.fixture
def pooled(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The alias of the services' PostgreSQL with a separate pool."""
    given = parse_database_url(f"{DATABASE}?application_name=threads of a test&pool_timeout=5")
    connections.databases[ALIAS] = connections.configure_settings({"default": {}, ALIAS: given})[ALIAS]
    with django_db_blocker.unblock():
        yield ALIAS
        connections[ALIAS].close()
        connections[ALIAS].close_pool()  # type: ignore[attr-defined]
    del connections.databases[ALIAS]


def test_work_after_a_restart_finds_a_connection_that_works(pooled: str) -> None:
    def ask() -> int:
        with connections[pooled].cursor() as cursor:
            cursor.execute("SELECT 1")
            return int(cursor.fetchone()[0])

    with DatabaseExecutor(2) as threads:
        assert [threads.submit(ask).result() for _ in range(4)] == [1] * 4
        with psycopg.connect(DATABASE, autocommit=True) as other:
            assert other.execute(END_ALL).rowcount >= 1
        assert [threads.submit(ask).result() for _ in range(4)] == [1] * 4


def test_a_restart_that_broke_many_connections_costs_the_next_request_none_of_its_time(pooled: str) -> None:
    """psycopg's pool finds broken connections one by one, with growing pauses: eight of them take over a minute."""
    together = threading.Barrier(8)

    def hold() -> None:
        with connections[pooled].cursor() as cursor:
            cursor.execute("SELECT 1")
            together.wait(30)

    with DatabaseExecutor(8) as threads:
        for future in [threads.submit(hold) for _ in range(8)]:
            future.result()
    with psycopg.connect(DATABASE, autocommit=True) as other:
        assert other.execute(END_ALL).rowcount == 8
    with connections[pooled].cursor() as cursor:
        cursor.execute("SELECT 1")
