"""The log maintenance thread: at start and every hour it removes logs by retention, archives logs, and deletes unwanted
objects from the archive.

Every web process has the thread; it works in the process that holds the lease. The lease only saves work: every change
is conditional, so several processes may do it at the same time.
"""

import logging
import random
from collections.abc import Callable, Iterable

from django.conf import settings

from cronium_admin.core.database.outage import log_failure
from cronium_admin.core.lease import HeldLease
from cronium_admin.core.leased_task import LeasedTask
from cronium_admin.logs.archive import archiver, objects
from cronium_admin.logs.failures import LogsSkipped
from cronium_admin.logs.retention import prune
from cronium_admin.logs.retention.due import DueLog
from cronium_admin.logs.storage.base import StorageUnavailable
from cronium_admin.logs.throttle import Stopped, Throttle

log = logging.getLogger("cronium.archive")
DELAY, SECONDS, AGAIN_SECONDS = 20.0, 3600.0, 300.0  # after the start, after a round, after a failed round


def _add_jitter(seconds: float) -> float:
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311 - jitter, not a secret


class LogMaintenance(LeasedTask):
    """`first` is called at the beginning of each round; a package above this one passes its own work there."""

    def __init__(self, first: Callable[[Throttle], None] = lambda pace: None) -> None:
        self._run_first = first
        super().__init__("log-keeper", self._run_and_pause, _add_jitter(DELAY))

    def _run_and_pause(self, lease: HeldLease) -> float:
        return _add_jitter(SECONDS if self.run_once(lease.keep) else AGAIN_SECONDS)

    def run_once(self, keep: Callable[[], None] = lambda: None) -> bool:
        try:
            pace = Throttle(self.stop_event, keep)
            self._run_first(pace)
            run_maintenance(pace)
        except Stopped:
            pass
        except StorageUnavailable as error:
            log.warning("the archive is not available, logs stay in the database: %s", error.__cause__ or error)
            return False
        except LogsSkipped:
            return False  # each failure was logged
        except Exception as error:  # noqa: BLE001 - logged and retried
            log_failure(log, error, "the removal of old logs")
            return False
        return True


def run_maintenance(pace: Throttle) -> None:
    """One round. Removes logs before it archives, so that no log is archived and then removed.

    Raises StorageUnavailable if the archive does not work, and LogsSkipped at the end if logs failed.
    """
    skipped: LogsSkipped | None = None
    try:
        _log_total("removed %d logs, of %d lines", prune.prune_due_logs(pace))
    except LogsSkipped as error:
        skipped = error
    storage = settings.CONFIG.log_storage
    _, failed = objects.delete_unwanted(pace)
    if storage in failed and objects.has_deletion_backlog(storage):
        raise StorageUnavailable
    _log_total("archived %d logs, of %d lines", archiver.archive_due_logs(pace))
    if skipped:
        raise skipped


def _log_total(message: str, logs_done: Iterable[DueLog]) -> None:
    logs = lines = 0
    try:
        for due_log in logs_done:
            logs, lines = logs + 1, lines + due_log.lines
    finally:
        if logs:
            log.info(message, logs, lines)
