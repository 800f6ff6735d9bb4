"""The worker's reaper: removes what is left over on its engine, and notes of which runs nothing is left."""

import logging
import threading
from collections.abc import Callable, Set
from datetime import timedelta

from cronium_admin.core import metrics
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.periodic import Rounds
from cronium_admin.workers import gc_history, takeover
from cronium_admin.workers.database_threads import DatabaseThreads
from executor.checks.gc import reap
from executor.checks.isolation import host_label
from executor.docker.errors import EngineError
from executor.docker.models import Found
from executor.sandbox.sandbox import EngineLike

log = logging.getLogger("cronium.host")
SECONDS, SOON_SECONDS = 30.0, 12.0  # the second: what had just ended when we started, and while we stand by
# How far back it looks for runs that nobody has noted as cleaned up; all the way the first time.
LOOKS_BACK = timedelta(hours=1)


class Reaper(Rounds):
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
        super().__init__("reaper", self.round, SOON_SECONDS, closing)
        self._host, self._instance, self._engine, self._database = host, instance, engine, database
        self._active, self._acts = active, acts
        self._looks_back: timedelta | None = None
        self.cleared = threading.Event()  # since this process acts: what an earlier one's trial left was removed

    def round(self) -> float:
        if not self._acts():
            self.cleared.clear()
            return SOON_SECONDS
        if self.cleared.is_set():
            self.once()
        else:
            self.at_start()
        return SECONDS

    def at_start(self) -> None:
        """When this process begins to act: also what a trial of the one before has left."""
        if self._remove(host_label(self._host)) is not None:
            self.cleared.set()
            self.once()

    def once(self) -> None:
        """Remove and note. What fails is logged and tried again the next time."""
        if (gone := self._remove(self._host)) is None:
            return
        try:
            left = {one.run_id for one in self._engine.find_ours(self._instance)} | self._active()
        except EngineError as error:
            log.error("%s", error)
            return
        ids = {one.run_id for one in gone}
        self._database.call(takeover.note_clean, self._host, ids - left, left, self._looks_back)
        self._looks_back = LOOKS_BACK

    def _remove(self, host: str) -> list[Found] | None:
        """What is gone; None where the engine did not say what there is."""
        try:
            gone = reap(self._engine, self._instance, host, self._living, self._deserted)
        except EngineError as error:
            log.error("%s", error)
            return None
        for one in gone:
            metrics.count("cronium_reaped_total", kind=one.kind)
        if gone:
            self._database.call(gc_history.keep, self._host, gone, database_now())
        return gone

    def _living(self, run_ids: Set[str]) -> Set[str]:
        return self._active() | self._database.call(takeover.living, self._host, run_ids)

    def _deserted(self, things: Set[tuple[str, str]]) -> Set[tuple[str, str]]:
        return self._database.call(takeover.deserted, things)
