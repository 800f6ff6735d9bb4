"""Runs the steps of a sandbox's build side by side."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from executor.docker.errors import Conflict


class Steps:
    """The steps of one build. A step may wait for a milestone that another one reaches.

    The first error ends the build: `on_failure` is called, waiting steps raise, and `run` raises that error.
    """

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._reached: set[str] = set()
        self._failure: BaseException | None = None

    def run(self, *steps: Callable[[], None]) -> None:
        with ThreadPoolExecutor(len(steps), "build") as pool:
            wait([pool.submit(self._run_step, step) for step in steps])
        if self._failure:
            raise self._failure

    def note(self, milestone: str) -> None:
        with self._changed:
            self._reached.add(milestone)
            self._changed.notify_all()

    def wait_for(self, milestone: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: milestone in self._reached or self._failure)
            if milestone not in self._reached:
                raise Conflict("Another step of the sandbox's build has failed.")

    def _run_step(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - `run` raises it
            with self._changed:
                # The first error counts: the other steps fail because of it.
                self._failure = self._failure or error
                self._changed.notify_all()
            self._on_failure()  # the other steps need not wait for the sidecar
