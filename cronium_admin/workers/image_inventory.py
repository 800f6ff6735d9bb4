"""Reports every few seconds which images this host's engine has."""

import threading
from collections.abc import Callable

from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.images import inventory
from cronium_admin.workers.database_threads import DatabaseThreads
from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike

SECONDS = 10.0


class ImageReporter(PeriodicTask):
    """Reports nothing while the engine does not answer."""

    def __init__(
        self,
        host: str,
        engine: EngineLike,
        database: DatabaseThreads,
        is_leader: Callable[[], bool],
        closing: threading.Event,
    ) -> None:
        super().__init__("inventory", self.run_once, 0.5, closing)
        self._host, self._engine, self._database, self._is_leader = host, engine, database, is_leader

    def run_once(self) -> float:
        if self._is_leader():
            try:
                images = self._engine.list_images()
            except EngineError:  # the heartbeat reports it
                return SECONDS
            self._database.call(
                inventory.store_report, self._host, [inventory.ReportedImage(**vars(image)) for image in images]
            )
        return SECONDS
