"""Keeps the hosts of a queue from searching all at once: each launch is announced to all of them, and one can take it.

A few hosts, chosen at random, search at once. The others wait a moment, and then read with one query whether any of the
runs that were announced meanwhile still waits. So the number of queries per launch does not grow with the hosts.
"""

import logging
import random
import threading
from collections.abc import Callable
from uuid import UUID

from cronium_admin.runs.models import Run, Status
from cronium_admin.workers.context import HostContext

log = logging.getLogger("cronium.host")
HOSTS_AT_ONCE = 8  # on average; all, if there are not more
PAUSE_SECONDS = 0.25


class Announcements:
    """Wakes the dispatcher for announced runs. `pause` returns after the given seconds."""

    def __init__(self, context: HostContext, pause: Callable[[float], object] | None = None) -> None:
        self._context = context
        self._pause = pause or context.closing.wait
        self._lock = threading.Lock()
        self._run_ids: set[str] = set()
        self._is_announced = threading.Event()
        self.thread = threading.Thread(target=self._run, name="announcements", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def add(self, run_id: str) -> None:
        """Never blocks. Ignores the run if no slot is free: the end of a run wakes the dispatcher."""
        if self._context.supervisor.count_free() <= 0:
            return
        if random.random() * (self._context.other_hosts + 1) < HOSTS_AT_ONCE:  # noqa: S311 - it protects nothing
            self._context.wake.set()
            return
        with self._lock:
            self._run_ids.add(run_id)
        self._is_announced.set()

    def wait_and_check(self) -> None:
        self._pause(PAUSE_SECONDS)
        with self._lock:
            run_ids, self._run_ids = frozenset(self._run_ids), set()
        is_any = bool(run_ids) and self._context.database.call(is_any_queued, run_ids)
        if is_any:
            self._context.wake.set()

    def close(self) -> None:
        """Call after `closing` is set."""
        self._is_announced.set()

    def _run(self) -> None:
        while not self._context.closing.is_set():
            self._is_announced.wait()
            self._is_announced.clear()
            try:
                self.wait_and_check()
            except Exception:
                log.exception("announced runs were not checked; the sweep finds them")


def is_any_queued(run_ids: frozenset[str]) -> bool:
    return Run.objects.filter(pk__in=[UUID(run_id) for run_id in run_ids], status=Status.QUEUED).exists()
