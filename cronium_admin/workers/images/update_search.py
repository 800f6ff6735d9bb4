"""Looks once a day for updates of this host's own images. Runs do not wait for it."""

import logging
import threading
from collections.abc import Callable
from contextlib import closing as close_after

from docker.errors import DockerException

from cronium_admin.core.database.outage import log_failure
from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.images import own_images
from cronium_admin.images.engine_connection import make_client
from cronium_admin.workers.database_threads import DatabaseThreads

log = logging.getLogger("cronium.host")
DELAY, SECONDS = 600.0, 3600.0
ENGINE_SECONDS = 60


class UpdateSearch(PeriodicTask):
    """Does nothing on a standby, and for images that another host has looked at today."""

    def __init__(self, database: DatabaseThreads, is_leader: Callable[[], bool], closing: threading.Event) -> None:
        super().__init__("image-updates", self.run_once, DELAY, closing)
        self._database, self._is_leader = database, is_leader

    def run_once(self) -> float:
        if self._is_leader():
            try:
                self._search()
            except DockerException as error:
                log.info("updates of images were not looked for: %s", error)
            except Exception as error:  # noqa: BLE001 - logged and retried
                log_failure(log, error, "the search for updates of images")
        return SECONDS

    def _search(self) -> None:
        outdated = self._database.call(own_images.find_outdated_checks)
        if not outdated:
            return
        with close_after(make_client(ENGINE_SECONDS)) as client:
            for image in outdated:
                if self.stop_event.is_set() or not self._is_leader():
                    return
                if check := own_images.search_updates(client, image):
                    self._database.call(own_images.store_updates, image, check)
