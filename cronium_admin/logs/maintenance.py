"""The thread that keeps what is stored of logs in bounds: removes, archives, deletes; at the start and every hour.

Any number of processes may have one: every change is conditional, and who comes second finds nothing to do.
"""

import logging
import random
from collections.abc import Callable, Iterable

from django.conf import settings

from cronium_admin.core.database.outage import log_failure
from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.logs.archive import archive, objects
from cronium_admin.logs.failures import LogsSkipped
from cronium_admin.logs.retention import prune
from cronium_admin.logs.retention.due import DueLog
from cronium_admin.logs.storage.base import StorageUnavailable
from cronium_admin.logs.throttle import Stopped, Throttle

log = logging.getLogger("cronium.archive")
DELAY, SECONDS, AGAIN_SECONDS = 20.0, 3600.0, 300.0  # after the start, after a round, after one that failed


def _add_jitter(seconds: float) -> float:
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311 - so that not all come at once


class LogMaintenance(PeriodicTask):
    """`first` is what a room above this one does in each round before the logs' own work."""

    def __init__(self, first: Callable[[Throttle], None] = lambda pace: None) -> None:
        self._run_first = first
        super().__init__(
            "log-keeper", lambda: _add_jitter(SECONDS if self.run_once() else AGAIN_SECONDS), _add_jitter(DELAY)
        )

    def run_once(self) -> bool:
        """Whether it went well."""
        try:
            pace = Throttle(self.stop_event)
            self._run_first(pace)
            run_maintenance(pace)
        except Stopped:
            pass
        except StorageUnavailable as error:
            log.warning("the archive is away, logs stay in the database meanwhile: %s", error.__cause__ or error)
            return False
        except LogsSkipped:
            return False  # each was logged
        except Exception as error:  # noqa: BLE001 - logged, and tried again
            log_failure(log, error, "the removal of old logs")
            return False
        return True


def run_maintenance(pace: Throttle) -> None:
    """One round: what is to be removed is not archived first. Raises Unavailable where archiving makes no sense, and
    Skipped at the end where logs failed."""
    skipped: LogsSkipped | None = None
    try:
        _log_total("removed %d logs, of %d lines", prune.prune_due_logs(pace))
    except LogsSkipped as error:
        skipped = error
    storage = settings.CONFIG.log_storage
    _, failed = objects.delete_unwanted(pace)
    if storage in failed and objects.has_deletion_backlog(storage):
        raise StorageUnavailable
    _log_total("archived %d logs, of %d lines", archive.archive_due_logs(pace))
    if skipped:
        raise skipped


def _log_total(words: str, done: Iterable[DueLog]) -> None:
    logs = lines = 0
    try:
        for one in done:
            logs, lines = logs + 1, lines + one.lines
    finally:
        if logs:
            log.info(words, logs, lines)
