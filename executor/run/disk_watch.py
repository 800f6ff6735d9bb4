"""Watches how much a run's main container writes to its disk: few storage drivers can limit it."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike

log = logging.getLogger("cronium.slot")
SECONDS = 1.0  # between two measurements


class DiskWatch:
    """Calls `on_full` once, from its own thread, when the container has written more than `limit` bytes; 0: never."""

    def __init__(self, engine: EngineLike, limit: int, on_full: Callable[[], None]) -> None:
        self._engine, self._limit, self._on_full = engine, limit, on_full

    @contextmanager
    def watch(self, container: str) -> Iterator[None]:
        if not self._limit:
            yield
            return
        ended = threading.Event()
        threading.Thread(target=self._measure, args=(container, ended), name="disk-watch", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _measure(self, container: str, ended: threading.Event) -> None:
        while not ended.wait(SECONDS):
            try:
                size = self._engine.archives.measure_disk(container)
            except EngineError as error:
                log.debug("the disk usage of %s is unknown: %s", container, error)
                continue
            except Exception:
                log.exception("the disk usage of %s could not be measured", container)
                continue
            if size > self._limit and not ended.is_set():
                self._on_full()
                return
