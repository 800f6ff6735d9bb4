"""How one log that fails holds up no other: it is logged and skipped, and the round raises at its end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from cronium_admin.core.database.outage import is_outage
from cronium_admin.logs.storage.base import StorageUnavailable
from cronium_admin.logs.throttle import Stopped

log = logging.getLogger("cronium.archive")
MAX_CONSECUTIVE_FAILURES = 3  # logs, or objects, at which a storage fails before it is taken to be away


class LogsSkipped(Exception):
    """Some logs failed, each of which was logged; all others are done."""


class Failures:
    """Those of one round. `done` is what was to be done to the logs, such as "removed"."""

    def __init__(self, done: str) -> None:
        self._action = done
        self._count = self._in_a_row = 0
        self._outage: StorageUnavailable | None = None

    @contextmanager
    def skip_failed(self, name: str) -> Iterator[None]:
        """Around the work on one log. Raises what is about more than that log: Stopped, an error of a database that is
        away, and Unavailable of a storage that failed at MOST_IN_A_ROW."""
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
        """At the end of the round. Raises Unavailable or Skipped where a log failed."""
        if self._outage:
            raise self._outage
        if self._count:
            raise LogsSkipped(
                f"{self._count} logs were not {self._action}; Cronium's log tells why. They are tried again."
            )
