"""The worker's reaper: removes what is left over on its engine, and notes of which runs nothing is left."""

import logging
import threading
from collections.abc import Callable, Set
from datetime import timedelta

from cronium_admin.core import metrics
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.workers import gc_history, takeover
from cronium_admin.workers.database_threads import DatabaseThreads
from executor.checks.gc import collect_leftovers
from executor.checks.isolation import make_host_label
from executor.docker.errors import EngineError
from executor.docker.models import EngineObject
from executor.docker.protocol import EngineLike

log = logging.getLogger("cronium.host")
SECONDS, SOON_SECONDS = 30.0, 12.0  # the second: what had just ended when we started, and while we stand by
# How far back it looks for runs that nobody has noted as cleaned up; all the way the first time.
LOOKBACK = timedelta(hours=1)


class GarbageCollector(PeriodicTask):
    """`acts` says whether this process acts for the host; `active` which runs hold a slot here."""

    def __init__(
        self,
        host: str,
        instance: str,
        engine: EngineLike,
        database: DatabaseThreads,
        active: Callable[[], Set[str]],
        acts: Callable[[], bool],
        closing: threading.Event,
    ) -> None:
        super().__init__("reaper", self.run_once, SOON_SECONDS, closing)
        self._host, self._instance, self._engine, self._database = host, instance, engine, database
        self._active, self._is_leader = active, acts
        self._lookback: timedelta | None = None
        self.cleared = threading.Event()  # since this process acts: what an earlier one's trial left was removed

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
        """When this process begins to act: also what a trial of the one before has left."""
        if self._remove_leftovers(make_host_label(self._host)) is not None:
            self.cleared.set()
            self.collect()

    def collect(self) -> None:
        """Remove and note. What fails is logged and tried again the next time."""
        if (gone := self._remove_leftovers(self._host)) is None:
            return
        try:
            left = {one.run_id for one in self._engine.list_own_objects(self._instance)} | self._active()
        except EngineError as error:
            log.error("%s", error)
            return
        ids = {one.run_id for one in gone}
        self._database.call(takeover.mark_cleaned_runs, self._host, ids - left, left, self._lookback)
        self._lookback = LOOKBACK

    def _remove_leftovers(self, host: str) -> list[EngineObject] | None:
        """What is gone; None where the engine did not say what there is."""
        try:
            gone = collect_leftovers(self._engine, self._instance, host, self._find_active, self._find_orphaned)
        except EngineError as error:
            log.error("%s", error)
            return None
        for one in gone:
            metrics.increment_counter("cronium_reaped_total", kind=one.kind)
        if gone:
            self._database.call(gc_history.record_removed, self._host, gone, database_now())
        return gone

    def _find_active(self, run_ids: Set[str]) -> Set[str]:
        return self._active() | self._database.call(takeover.find_still_active, self._host, run_ids)

    def _find_orphaned(self, things: Set[tuple[str, str]]) -> Set[tuple[str, str]]:
        return self._database.call(takeover.find_orphaned_elsewhere, things)
