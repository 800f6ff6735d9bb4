"""The end of one run: stores its result, then removes its sandbox."""

import itertools
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from executor import failpoints
from executor.run import outcome
from executor.run.stop_state import StopState
from executor.sandbox.sandbox import Sandbox
from executor.spec import LeaseLost, RunHandler, RunResult, RunSpec

log = logging.getLogger("cronium.slot")
READER_SECONDS = 10.0  # to store the output that was read before an error
CLEAN_TRIES = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0  # between two removals; doubles


class RunEnd:
    """Ends the run of one slot.

    `on_ended` is called when the result is stored and main does not run: only the removal follows, within `removals`.
    """

    def __init__(
        self,
        spec: RunSpec,
        handler: RunHandler,
        stop: StopState,
        released: threading.Event,
        removals: AbstractContextManager[object],
        on_ended: Callable[[], None],
    ) -> None:
        self._spec, self._handler = spec, handler
        self._stop, self._released = stop, released
        self._removals, self._on_ended = removals, on_ended
        self.may_main_run = False  # with a stored result: the engine did not stop main

    def finish(self, sandbox: Sandbox, result: RunResult) -> None:
        """Store the result, then remove the sandbox. LeaseLost if another process holds the run."""
        try:
            self._handler.finish(result)
            self._handler.note_phase("finished")
        except LeaseLost:
            raise
        except Exception:
            # Keep the container: the next holder of the run derives the result from it.
            log.exception("run %s: its result could not be stored", self._spec.run_id)
            return sandbox.detach()
        failpoints.hit("finished")
        if not self.may_main_run:
            self._on_ended()
        try:
            self._remove(sandbox)
        except Exception:
            log.exception("run %s: its removal failed; garbage collection retries it", self._spec.run_id)

    def finish_failed(self, sandbox: Sandbox, result: RunResult, *, has_begun: bool, reader: threading.Thread) -> None:
        """Remove the sandbox first, because a status must not claim a stop that did not happen. Raises nothing."""
        try:
            if (self._released.is_set() and has_begun) or not self._handler.holds_lease():
                raise LeaseLost
            is_removed = sandbox.take_down() or result.reason == outcome.GONE
            if self._released.is_set():
                self._handler.requeue("Its worker was stopped before the script began")
                return
            if reader.ident is not None:
                reader.join(READER_SECONDS)
            self.may_main_run = not is_removed and has_begun and sandbox.can_main_run()
            if self.may_main_run:
                result = outcome.build_unstoppable_result(result, self._stop.request)
            elif self._stop.request:
                result = outcome.build_stop_result(self._spec, self._stop.request, None)
            self.finish(sandbox, result)
        except LeaseLost:
            sandbox.detach()
        except Exception:
            log.exception("run %s: its failure could not be stored", self._spec.run_id)
            sandbox.detach()

    def _remove(self, sandbox: Sandbox) -> None:
        for attempt in itertools.count():
            with self._removals:
                is_removed = sandbox.take_down()
            if is_removed:
                self._handler.mark_cleaned()
                failpoints.hit("cleaned")
                return
            # A main that may still run keeps its slot and its memory until it has ended, or this process ends.
            self.may_main_run = self.may_main_run and sandbox.can_main_run()
            if attempt + 1 >= CLEAN_TRIES and (not self.may_main_run or self._released.is_set()):
                break
            self._released.wait(min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE))
        log.error("run %s: leftover objects on the engine; garbage collection retries the removal", self._spec.run_id)
