"""The database's clock: every stored time comes from it, since the clocks of web processes and workers differ."""

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
    """Django's `Now`, which SQLite writes in the form in which Django passes a time as a parameter.

    SQLite compares times as text. Its clock has milliseconds; a fraction of 001 microseconds keeps all six digits,
    so that a time that was read and passed back equals the stored one.
    """

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f001', 'NOW')"
        return self.as_sql(compiler, connection, template=template, **extra)


class _Clock:
    """The database's time as measured last, and when that was on the clock that counts since the machine started."""

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
        # Below Django's cursor, as the connection is being made: no part of any transaction.
        with connection.wrap_database_errors:
            found = connection.connection.execute(query).fetchone()[0]
        at = datetime.fromisoformat(found).replace(tzinfo=UTC) if is_sqlite else found.astimezone(UTC)
        with self._lock:
            self._measured = at, _read_uptime()


_clock = _Clock()


def _read_uptime() -> float:
    """Goes on while the machine sleeps, and no correction of the time of day changes it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def database_now() -> datetime:
    """The time by the database's clock, as measured when a connection was made last; asks the database at most once.

    For what people see, and for defaults. A condition on stored times is written in SQL, with `Now`.
    """
    if _clock.estimate_now() is None:
        with suppress(DatabaseError):  # a page about the database's failure has a time too
            default_connection.ensure_connection()
            _clock.measure(default_connection)
    return _clock.estimate_now() or timezone.now()


def _on_connection(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if connection.alias == default_connection.alias:
        _clock.measure(connection)


connection_created.connect(_on_connection, dispatch_uid="cronium.database_clock")
