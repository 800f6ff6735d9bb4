"""A RunHandler without a database, for the runs of checks."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from executor.run.slot import Slot
from executor.spec import Batch, Reply, RunResult, RunSpec

POLL_SECONDS = 0.5


class MemoryHandler:
    """A RunHandler that keeps the output of one run in memory."""

    def __init__(self, text: bytes = b"", on_finish: threading.Event | None = None) -> None:
        self._awaited = text
        self.text = b""
        self.result: RunResult | None = None
        self.changed = threading.Event()  # the awaited text arrived, or the run has ended
        self.over = on_finish or threading.Event()

    def note_phase(self, phase: str) -> None:
        pass

    def provide_image(
        self, spec: RunSpec, is_wanted: Callable[[], bool], *, is_prepared: bool = False, is_again: bool = False
    ) -> None:
        pass

    def mark_running(self, image_id: str, report: Mapping[str, Any], image_digests: tuple[str, ...] = ()) -> bool:
        return True

    def record_cold_start(self, reason: str, message: str) -> None:
        pass

    def append(self, batch: Batch) -> None:
        self.text += b"".join(segment.text for segment in batch.segments)
        if self._awaited and self._awaited in self.text:
            self.changed.set()

    def answer_request(self, operation: str, body: Any) -> Reply:
        return Reply(status=403, error="FORBIDDEN", message="A check has no runtime API.")

    def record_event(self, kind: str, message: str) -> None:
        pass

    def record_sandbox(self, report: Mapping[str, Any]) -> None:
        pass

    def finish(self, result: RunResult) -> None:
        self.result = result
        self.changed.set()
        self.over.set()

    def mark_cleaned(self) -> None:
        pass

    def record_stopping(self, reason: str) -> bool:
        return True

    def holds_lease(self) -> bool:
        return True

    def requeue(self, message: str) -> None:
        pass


def run_in_thread(slot: Slot, handler: MemoryHandler, name: str, is_stopped: Callable[[], bool]) -> threading.Thread:
    """Start the run of `slot` in a thread called `name`; wait until the run is over, or the thread has ended.

    Once `is_stopped`, the run is stopped. The returned thread may still be removing the sandbox: join it.
    """
    thread = threading.Thread(target=slot.run, name=name, daemon=True)
    thread.start()
    while not handler.over.wait(POLL_SECONDS):
        if is_stopped():
            slot.stop()
        if not thread.is_alive():
            break
    return thread
