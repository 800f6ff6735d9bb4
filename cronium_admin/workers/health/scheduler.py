"""The worker's own examination: doctor's cheap checks now and then, kept on the host's row. It holds back no run."""

import logging
import threading
from collections.abc import Callable

from cronium_admin.core.database.outage import log_failure
from cronium_admin.core.periodic import Rounds
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.health import results, runner

log = logging.getLogger("cronium.host")
DELAY = 5.0  # a run that waits for the start gets the machine first
SECONDS = 600.0


class Checkup(Rounds):
    """`acts` says whether this process acts for the host: who stands by writes nothing of it."""

    def __init__(
        self, host: str, database: DatabaseThreads, acts: Callable[[], bool], closing: threading.Event
    ) -> None:
        super().__init__("checkup", self.round, DELAY, closing)
        self._host, self._database, self._acts = host, database, acts
        self._told: set[str] = set()  # what had failed the last time

    def round(self) -> float:
        if self._acts():
            self.once()
        return SECONDS

    def once(self) -> None:
        try:
            rows = runner.examine(self._database.call)
            self._database.call(results.keep, self._host, rows)
        except Exception as error:  # noqa: BLE001 - logged, and tried again
            if not self.over.is_set():
                log_failure(log, error, "the host's examination")
            return
        failed = {row.name: row for row in rows if row.state == "failed"}
        for name in failed.keys() - self._told:
            log.warning("doctor: %s: %s. %s", name, failed[name].found, failed[name].mend)
        self._told = set(failed)
