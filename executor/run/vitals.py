"""Measures the main container of a run while its script runs: memory, CPU time, and whether it is paused."""

import logging

from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike
from executor.run import outcome
from executor.spec import RunHandler

log = logging.getLogger("cronium.slot")


class Vitals:
    def __init__(self, engine: EngineLike, handler: RunHandler, run_id: str) -> None:
        self._engine = engine
        self._handler = handler
        self._run_id = run_id
        self._is_paused = False
        self.peak_memory: int | None = None  # bytes
        self.cpu_seconds: float | None = None

    def measure(self, container: str) -> None:
        try:
            used, status = self._engine.read_usage(container), self._engine.inspect(container).status
        except EngineError:
            return
        self.peak_memory = max(self.peak_memory or 0, used.peak_memory_bytes or 0) or None
        # Of a container that has just ended the engine reports 0.
        self.cpu_seconds = max(self.cpu_seconds or 0.0, used.cpu_seconds or 0.0) or None
        self._note_pause(status == "paused")

    def _note_pause(self, is_paused: bool) -> None:
        if is_paused == self._is_paused:
            return
        self._is_paused = is_paused
        try:
            self._handler.record_event(*(outcome.PAUSED if is_paused else outcome.CONTINUED))
        except Exception:
            log.exception("run %s: its container's pause or resumption could not be recorded", self._run_id)
