"""Error handling for work on many logs: a log that fails is skipped, and the end of the work raises an error."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from cronium_admin.core.database.outage import is_outage
from cronium_admin.logs.storage.base import StorageUnavailable
from cronium_admin.logs.throttle import Stopped

log = logging.getLogger("cronium.archive")
MAX_CONSECUTIVE_FAILURES = 3  # failed logs or objects after which the storage counts as not available


class LogsSkipped(Exception):
    """Some logs failed; each failure was logged. All other logs are done."""


class Failures:
    """The failures of one round. `action` is a participle for log lines, such as "removed"."""

    def __init__(self, action: str) -> None:
        self._action = action
        self._count = self._in_a_row = 0
        self._outage: StorageUnavailable | None = None

    @contextmanager
    def skip_failed(self, name: str) -> Iterator[None]:
        """Wraps the work on one log. Re-raises errors that concern more than that log: Stopped, a database outage, and
        StorageUnavailable after MAX_CONSECUTIVE_FAILURES."""
        try:
            yield
        except Stopped:
            raise
        except Exception as error:
            if is_outage(error):
                raise
            self._record_failure(name, error)
            if self._in_a_row == MAX_CONSECUTIVE_FAILURES:
                raise
        else:
            self._in_a_row = 0

    def _record_failure(self, name: str, error: Exception) -> None:
        self._count += 1
        if isinstance(error, StorageUnavailable):
            self._in_a_row, self._outage = self._in_a_row + 1, error
            log.warning("the log of %s was not %s: %s", name, self._action, error.__cause__ or error)
        else:
            self._in_a_row = 0
            log.error("the log of %s was not %s", name, self._action, exc_info=error)

    def raise_failures(self) -> None:
        """Call at the end of the round. Raises StorageUnavailable or LogsSkipped if a log failed."""
        if self._outage:
            raise self._outage
        if self._count:
            raise LogsSkipped(
                f"{self._count} logs were not {self._action}. The server's log has the causes. Retried later."
            )
