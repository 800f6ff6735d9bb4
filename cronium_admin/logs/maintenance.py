"""The thread that keeps what is stored of logs in bounds: removes, archives, deletes; at the start and every hour.

Any number of processes may have one: every change is conditional, and who comes second finds nothing to do.
"""

import logging
import random
from collections.abc import Callable, Iterable

from django.conf import settings

from cronium_admin.core.database.outage import log_failure
from cronium_admin.core.periodic import Rounds
from cronium_admin.logs.archive import archive, objects
from cronium_admin.logs.failures import Skipped
from cronium_admin.logs.retention import prune
from cronium_admin.logs.retention.due import Due
from cronium_admin.logs.storage.base import Unavailable
from cronium_admin.logs.throttle import Pace, Stopped

log = logging.getLogger("cronium.archive")
DELAY, SECONDS, AGAIN_SECONDS = 20.0, 3600.0, 300.0  # after the start, after a round, after one that failed


def _about(seconds: float) -> float:
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311 - so that not all come at once


class Keeper(Rounds):
    """`first` is what a room above this one does in each round before the logs' own work."""

    def __init__(self, first: Callable[[Pace], None] = lambda pace: None) -> None:
        self._do_first = first
        super().__init__("log-keeper", lambda: _about(SECONDS if self.round() else AGAIN_SECONDS), _about(DELAY))

    def round(self) -> bool:
        """Whether it went well."""
        try:
            pace = Pace(self.over)
            self._do_first(pace)
            once(pace)
        except Stopped:
            pass
        except Unavailable as error:
            log.warning("the archive is away, logs stay in the database meanwhile: %s", error.__cause__ or error)
            return False
        except Skipped:
            return False  # each was logged
        except Exception as error:  # noqa: BLE001 - logged, and tried again
            log_failure(log, error, "the removal of old logs")
            return False
        return True


def once(pace: Pace) -> None:
    """One round: what is to be removed is not archived first. Raises Unavailable where archiving makes no sense, and
    Skipped at the end where logs failed."""
    skipped: Skipped | None = None
    try:
        _tell("removed %d logs, of %d lines", prune.prune(pace))
    except Skipped as error:
        skipped = error
    storage = settings.CONFIG.log_storage
    _, failed = objects.discard(pace)
    if storage in failed and objects.has_backlog(storage):
        raise Unavailable
    _tell("archived %d logs, of %d lines", archive.archive(pace))
    if skipped:
        raise skipped


def _tell(words: str, done: Iterable[Due]) -> None:
    logs = lines = 0
    try:
        for one in done:
            logs, lines = logs + 1, lines + one.lines
    finally:
        if logs:
            log.info(words, logs, lines)
