"""Runs doctor's cheap checks every ten minutes and stores the results in the host's row. Failures block no runs."""

import logging
import threading
from collections.abc import Callable

from cronium_admin.core.database.outage import log_failure
from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.health import results, runner
from cronium_admin.workers.health.checks.waiting_sandboxes import check_waiting_sandboxes

log = logging.getLogger("cronium.host")
DELAY = 5.0  # runs that wait for the start come first
SECONDS = 600.0


class HealthScheduler(PeriodicTask):
    """Does nothing on a standby."""

    def __init__(
        self, host: str, database: DatabaseThreads, is_leader: Callable[[], bool], closing: threading.Event
    ) -> None:
        super().__init__("checkup", self.run_once, DELAY, closing)
        self._host, self._database, self._is_leader = host, database, is_leader
        self._failed_before: set[str] = set()  # checks that failed in the last round

    def run_once(self) -> float:
        if self._is_leader():
            self.run_checks()
        return SECONDS

    def run_checks(self) -> None:
        try:
            rows = runner.run_checks(self._database.call)
            rows += check_waiting_sandboxes(self._host, self._database.call)
            self._database.call(results.store_results, self._host, rows)
        except Exception as error:  # noqa: BLE001 - logged and retried
            if not self.stop_event.is_set():
                log_failure(log, error, "the host's examination")
            return
        failed = {row.name: row for row in rows if row.state == "failed"}
        for name in failed.keys() - self._failed_before:
            log.warning("doctor: %s: %s. %s", name, failed[name].found, failed[name].mend)
        self._failed_before = set(failed)
