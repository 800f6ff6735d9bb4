"""Recognizes database outages (unreachable, read-only, full disk), and words them for users and for the log."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, connection
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential,
)

from cronium_admin.core.database.threads import close_connections, database_work

T = TypeVar("T")
log = logging.getLogger("cronium.database")
OutageKind = Literal["full", "read_only", "away"]
LOG_INTERVAL_SECONDS = 60.0
_SQLITE_ERROR, _SQLITE_READ_ONLY, _SQLITE_FULL = 1, 8, 13
_READ_ONLY, _DISK_FULL = "25006", "53100"

_USER_MESSAGES: dict[OutageKind, str] = {
    "full": "The server's disk is full, so nothing can be stored. Nothing was changed. An administrator must free "
    "some space. Then send the request again.",
    "read_only": "The database is read-only, so nothing can be stored. Nothing was changed. An administrator must make "
    "it writable. Then send the request again.",
    "away": "The database does not answer. Try again in a moment.",
}
# Parts of error messages of SQLite and PostgreSQL, the cause in words, and the remedy.
_CAUSES = (
    (("readonly database", "read-only transaction", "recovery is in progress"), "is read-only", "{owner}"),
    (("unable to open database file",), "can't be opened", "{owner}"),
    (("database or disk is full", "no space left", "could not extend file"), "has no room", "Free some space."),
    (("no such table", "does not exist"), "lacks tables", "Run `python manage.py migrate` first."),
    (("malformed", "not a database"), "is damaged", "Restore a backup: `python manage.py restore FILE --replace`."),
    (("connection", "could not translate", "password", "refused"), "can't be reached", "Check CRONIUM_DATABASE_URL."),
)


def find_outage(error: BaseException | None) -> OutageKind | None:
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return None
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary error code
    if state == _READ_ONLY or code == _SQLITE_READ_ONLY:
        return "read_only"
    if state == _DISK_FULL or code == _SQLITE_FULL:
        return "full"
    is_own_fault = isinstance(error, InternalError) or code == _SQLITE_ERROR  # such as a missing table
    return None if is_own_fault else "away"


def is_outage(error: BaseException | None) -> bool:
    """Whether the same statement may succeed later, because the database and not the statement failed."""
    return find_outage(error) is not None


def describe_outage(kind: OutageKind) -> str:
    """A sentence for users; contains no path and no address."""
    return _USER_MESSAGES[kind]


def describe_database_error(error: BaseException, *, known_only: bool = False) -> str:
    """The error and its remedy in words, for operators. With `known_only`, empty for an error of unknown cause."""
    text = " ".join(str(error).split())
    on_file = f"Make the file {connection.settings_dict['NAME']} and its folder writable for user {os.geteuid()}."
    on_server = "Name the primary server in CRONIUM_DATABASE_URL, or turn default_transaction_read_only off."
    for parts, cause, remedy in _CAUSES:
        if any(part in text.lower() for part in parts):
            owner = on_file if connection.vendor == "sqlite" else on_server
            return f"The database {cause} ({text}). {remedy.format(owner=owner)}"
    return "" if known_only else f"The database can't be used: {text}. Check CRONIUM_DATABASE_URL."


class OutageLog:
    """Logs one line when an outage begins, one a minute with a count while it lasts, and one when it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began_at: float | None = None  # of the outage that was logged
        self._logged_at = -LOG_INTERVAL_SECONDS
        self._suppressed = 0

    def record_failure(self, error: BaseException, subject: str) -> None:
        """`subject` is the route or thread that failed."""
        now = time.monotonic()
        with self._lock:
            if now - self._logged_at < LOG_INTERVAL_SECONDS:
                self._suppressed += 1
                return
            suppressed, self._logged_at, self._suppressed = self._suppressed, now, 0
            self._began_at = self._began_at or now
        suffix = f" {suppressed} more database errors since the last such line." if suppressed else ""
        log.error("%s This failed: %s.%s", describe_database_error(error), subject, suffix)

    @contextmanager
    def tolerate(self, subject: str) -> Iterator[None]:
        """Around an incidental write: logs a full or read-only database, so that pages can still be read."""
        try:
            yield
        except (DatabaseError, InterfaceError) as error:
            if find_outage(error) not in ("full", "read_only"):
                raise
            self.record_failure(error, subject)

    def record_recovery(self) -> None:
        with self._lock:
            began_at, self._began_at = self._began_at, None
            suppressed, self._suppressed = self._suppressed, 0
        if began_at is not None:
            message = "the database outage ended after %.0f s and %d more errors"
            log.warning(message, time.monotonic() - began_at, suppressed)


outage_log = OutageLog()


def retry_during_outage(work: Callable[[], T], closing: threading.Event, subject: str) -> T:
    """Calls `work`, which must be safe to repeat, as a unit of database work, until no outage stops it.

    After `closing` is set it raises the outage's error instead of a further retry.
    """

    def record(state: RetryCallState) -> None:
        close_connections()
        if state.outcome and (error := state.outcome.exception()):
            outage_log.record_failure(error, subject)

    retrying = Retrying(
        retry=retry_if_exception(is_outage),
        wait=wait_exponential(multiplier=0.1, max=5.0),
        stop=stop_when_event_set(closing),
        sleep=sleep_using_event(closing),
        before_sleep=record,
        reraise=True,
    )
    result = retrying(database_work()(work))
    if retrying.statistics["attempt_number"] > 1:
        outage_log.record_recovery()
    return result


def log_failure(logger: logging.Logger, error: Exception, subject: str) -> None:
    if is_outage(error):
        outage_log.record_failure(error, subject)
    else:
        logger.error("%s failed; it is tried again", subject, exc_info=error)
