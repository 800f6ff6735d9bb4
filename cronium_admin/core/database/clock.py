"""The database's clock. Every stored time comes from it, because the clocks of web processes and workers differ."""

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DatabaseError
from django.db import connection as default_connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models import functions
from django.utils import timezone

MEASURE_INTERVAL_SECONDS = 10.0


class Now(functions.Now):
    """Django's `Now`, in the text format in which Django passes times to SQLite.

    SQLite compares times as text, and its clock has milliseconds. The added 001 microseconds keep all six digits, so
    that a time that was read and is passed back equals the stored time.
    """

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f001', 'NOW')"
        return self.as_sql(compiler, connection, template=template, **extra)


class _Clock:
    """The last measured time of the database, and the machine's uptime at that moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._measured: tuple[datetime, float] | None = None

    def estimate_now(self) -> datetime | None:
        if (measured := self._measured) is None:
            return None
        at, uptime = measured
        return at + timedelta(seconds=_read_uptime() - uptime)

    def measure(self, connection: BaseDatabaseWrapper) -> None:
        measured = self._measured
        if measured and _read_uptime() - measured[1] < MEASURE_INTERVAL_SECONDS:
            return
        is_sqlite = connection.vendor == "sqlite"
        query = "SELECT STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')" if is_sqlite else "SELECT STATEMENT_TIMESTAMP()"
        asked_at = _read_uptime()
        # Below Django's cursor, because the connection is being opened: this belongs to no transaction.
        with connection.wrap_database_errors:
            value = connection.connection.execute(query).fetchone()[0]
        at = datetime.fromisoformat(value).replace(tzinfo=UTC) if is_sqlite else value.astimezone(UTC)
        with self._lock:
            self._measured = at, (asked_at + _read_uptime()) / 2


_clock = _Clock()


def _read_uptime() -> float:
    # Includes the time while the machine sleeps; corrections of the time of day do not change it.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def database_now() -> datetime:
    """The time of the database's clock, from its last measurement; queries the database at most once per process.

    For display and for defaults. Conditions on stored times use `Now` in SQL.
    """
    if _clock.estimate_now() is None:
        with suppress(DatabaseError):  # the page that reports a database outage also shows a time
            default_connection.ensure_connection()
            _clock.measure(default_connection)
    return _clock.estimate_now() or timezone.now()


def _on_connection(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if connection.alias == default_connection.alias:
        _clock.measure(connection)


connection_created.connect(_on_connection, dispatch_uid="cronium.database_clock")
