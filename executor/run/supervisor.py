"""The slots of one host: starts runs, passes on stops, measures, and winds down."""

import logging
import os
import threading
import time
from collections.abc import Callable

from executor import log_context
from executor.run.outcome import CANCEL, SHUTDOWN
from executor.run.slot import Slot
from executor.sandbox.sandbox import EngineLike
from executor.sandbox.subnets import SubnetPool
from executor.spec import Resumption, RunHandler, RunSpec

log = logging.getLogger("cronium.supervisor")
MEASURE_SECONDS = 2.0


class Supervisor:
    """Up to `capacity` runs at once on one engine. `on_free` is called whenever a slot has become free."""

    def __init__(self, engine: EngineLike, capacity: int, subnets: SubnetPool, on_free: Callable[[], None]) -> None:
        self.engine = engine
        self.capacity = capacity
        self._subnets = subnets
        self._on_free = on_free
        # Two builds saturate two cores; more at once only make each slower.
        self._builds = threading.Semaphore(max(2, os.cpu_count() or 1))
        self._slots: dict[str, Slot] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()  # nothing new is taken
        self._releasing = False  # and what comes all the same is let go of, where it would be stopped else
        threading.Thread(target=self._measure_memory, name="measure", daemon=True).start()

    def count_free(self) -> int:
        """How many more runs may start now."""
        with self._lock:
            return 0 if self._closing.is_set() else self.capacity - len(self._slots)

    def list_active(self) -> frozenset[str]:
        """The ids of the runs that hold a slot."""
        with self._lock:
            return frozenset(self._slots)

    def start(self, spec: RunSpec, handler: RunHandler, resumption: Resumption | None = None) -> None:
        """Take a slot and begin, or go on with what an earlier process began.

        The caller has asked `free`; if we closed since, the run is stopped as all are, or let go of as all are.
        """
        slot = Slot(self.engine, spec, handler, self._subnets, self._builds, resumption)
        with self._lock:
            self._slots[spec.run_id] = slot
            if self._releasing:
                slot.release()
            elif self._closing.is_set():
                slot.stop(SHUTDOWN)
        thread = threading.Thread(target=self._run_slot, args=(slot,), name=f"slot-{spec.run_id[:8]}", daemon=True)
        try:
            thread.start()
        except BaseException:  # the system has no thread to give: the run is for the next look
            self._drop_slot(slot)
            raise

    def _run_slot(self, slot: Slot) -> None:
        try:
            with log_context.bind_run(slot.spec.run_id):
                slot.run()
        finally:
            self._drop_slot(slot)
            self._on_free()

    def _drop_slot(self, slot: Slot) -> None:
        with self._lock:
            if self._slots.get(slot.spec.run_id) is slot:  # not a later one of the same run
                del self._slots[slot.spec.run_id]

    def stop(self, run_id: str, why: str = CANCEL) -> bool:
        """Stop one run; False when no slot here has it."""
        with self._lock:
            slot = self._slots.get(run_id)
        if slot:
            slot.stop(why)
        return slot is not None

    def close(self, seconds: float) -> bool:
        """Take nothing new, stop all runs, wait for an empty engine; False when some were still there."""
        with self._lock:
            self._closing.set()
        for run_id in self.list_active():
            self.stop(run_id, SHUTDOWN)
        return self._wait_until_empty(seconds)

    def release(self, seconds: float) -> bool:
        """Take nothing new and let go of all runs, whose scripts go on; False when some still held on."""
        with self._lock:
            self._closing.set()
            self._releasing = True
        return self.release_all(seconds)

    def release_all(self, seconds: float) -> bool:
        """Let go of all runs, whose scripts go on; False when some still held on after that time."""
        with self._lock:
            slots = list(self._slots.values())
        for slot in slots:
            slot.release()
        return self._wait_until_empty(seconds)

    def _wait_until_empty(self, seconds: float) -> bool:
        give_up = time.monotonic() + seconds
        while self.list_active() and time.monotonic() < give_up:
            time.sleep(0.05)
        return not self.list_active()

    def _measure_memory(self) -> None:
        while not self._closing.wait(MEASURE_SECONDS):
            with self._lock:
                slots = list(self._slots.values())
            for slot in slots:
                try:
                    slot.measure()
                except Exception:
                    log.exception("the memory of run %s was not measured this time", slot.spec.run_id)
