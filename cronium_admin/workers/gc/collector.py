"""The worker's garbage collection: removes leftover objects from its engine and marks cleaned runs."""

import logging
import threading
from collections.abc import Callable, Set
from datetime import timedelta

from cronium_admin.core import metrics
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.gc import history, runs
from cronium_admin.workers.image_builds.leftovers import remove_leftovers
from executor.checks.gc import collect_leftovers
from executor.checks.isolation import make_host_label
from executor.docker.errors import EngineError
from executor.docker.models import EngineObject
from executor.docker.protocol import EngineLike

log = logging.getLogger("cronium.host")
SECONDS, SOON_SECONDS = 30.0, 12.0  # the second: soon after the start, and on a standby
# How far back it searches for runs that are not marked as cleaned; the first search is unlimited.
LOOKBACK = timedelta(hours=1)


class GarbageCollector(PeriodicTask):
    """`active` returns the ids of the runs that hold a slot here."""

    def __init__(
        self,
        host: str,
        instance: str,
        engine: EngineLike,
        database: DatabaseThreads,
        active: Callable[[], Set[str]],
        is_leader: Callable[[], bool],
        closing: threading.Event,
    ) -> None:
        super().__init__("reaper", self.run_once, SOON_SECONDS, closing)
        self._host, self._instance, self._engine, self._database = host, instance, engine, database
        self._active, self._is_leader = active, is_leader
        self._lookback: timedelta | None = None
        self.cleared = threading.Event()  # set once the leftovers of an earlier process's canary are removed

    def run_once(self) -> float:
        if not self._is_leader():
            self.cleared.clear()
            return SOON_SECONDS
        if self.cleared.is_set():
            self.collect()
        else:
            self.collect_at_start()
        return SECONDS

    def collect_at_start(self) -> None:
        """Call when this process becomes leader: also removes leftovers of an earlier process's canary."""
        if self._remove_leftovers(make_host_label(self._host)) is not None:
            self.cleared.set()
            self.collect()

    def collect(self) -> None:
        if (removed := self._remove_leftovers(self._host)) is None:
            return
        try:
            remaining = {item.run_id for item in self._engine.list_own_objects(self._instance)} | self._active()
        except EngineError as error:
            log.error("%s", error)
            return
        try:
            remove_leftovers(self._engine, self._database, self._instance, self._host)
        except EngineError as error:
            log.error("%s", error)
        ids = {item.run_id for item in removed}
        self._database.call(runs.mark_cleaned_runs, self._host, ids - remaining, remaining, self._lookback)
        self._lookback = LOOKBACK

    def _remove_leftovers(self, host: str) -> list[EngineObject] | None:
        try:
            removed = collect_leftovers(self._engine, self._instance, host, self._find_active, self._find_orphaned)
        except EngineError as error:
            log.error("%s", error)
            return None
        for item in removed:
            metrics.REMOVED_OBJECTS.labels(item.kind).inc()
        if removed:
            self._database.call(history.record_removed, self._host, removed, database_now())
        return removed

    def _find_active(self, run_ids: Set[str]) -> Set[str]:
        return self._active() | self._database.call(runs.find_still_active, self._host, run_ids)

    def _find_orphaned(self, labels: Set[tuple[str, str]]) -> Set[tuple[str, str]]:
        return self._database.call(runs.find_orphaned_elsewhere, labels)
