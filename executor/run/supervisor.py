"""Manages the slots of one host: starts and stops runs, measures their memory, and shuts down.

A slot is free for the next run as soon as the result of its run is stored and its script does not run any more. Its
thread then removes the sandbox.
"""

import logging
import os
import threading
from collections.abc import Callable

from executor import log_context
from executor.docker.protocol import EngineLike
from executor.run.gate import EngineGate
from executor.run.outcome import CANCEL, SHUTDOWN
from executor.run.slot import Slot
from executor.sandbox.options import SIDECAR_LIMITS
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from executor.spec import Completion, Limits, Resumption, RunHandler, RunSpec

log = logging.getLogger("cronium.supervisor")
MEASURE_SECONDS = 2.0


class Supervisor:
    """Executes up to `capacity` runs at once on one engine. `on_free` is called whenever a slot becomes free."""

    def __init__(self, engine: EngineLike, capacity: int, subnets: SubnetPool, on_free: Callable[[], None]) -> None:
        self.engine = engine
        self.capacity = capacity
        self._subnets = subnets
        self._on_free = on_free
        # Two builds saturate two cores; more at once only slow each other down.
        at_once = max(2, os.cpu_count() or 1)
        self._gate = EngineGate(at_once, at_once)
        self._slots: dict[str, Slot] = {}
        self._removing: set[Slot] = set()  # their scripts have ended; their sandboxes are removed
        self._lock = threading.Lock()
        self._emptied = threading.Condition(self._lock)
        self._closing = threading.Event()  # no new runs
        self._is_releasing = False  # runs that still arrive are released instead of stopped
        threading.Thread(target=self._measure_memory, name="measure", daemon=True).start()

    def count_free(self) -> int:
        """Slots for new runs. At most `capacity` sandboxes wait for their removal without occupying a slot."""
        with self._lock:
            backlog = max(0, len(self._removing) - self.capacity)
            return 0 if self._closing.is_set() else max(0, self.capacity - len(self._slots) - backlog)

    def count_running(self) -> int:
        with self._lock:
            return len(self._slots)

    def has_waiting_builds(self) -> bool:
        """A run waits for its turn to get a sandbox."""
        return self._gate.has_waiting_builds()

    def is_building(self) -> bool:
        """A run waits until its sandbox is built."""
        return self._gate.has_builds()

    def list_active(self) -> frozenset[str]:
        """The runs with a slot or with a sandbox that is being removed: their objects are this process's."""
        with self._lock:
            return frozenset(self._slots) | {slot.spec.run_id for slot in self._removing}

    def sum_ended(self) -> Limits:
        """The limits of the containers that may still run although the result of their run is stored."""
        with self._lock:
            mains = [slot.spec for slot in self._slots.values() if slot.may_run_on]
            removed = [slot.spec for slot in self._removing]
        sidecars = sum(spec.network != "none" for spec in (*mains, *removed))
        return Limits(
            nano_cpus=sum(spec.limits.nano_cpus for spec in mains),
            memory_bytes=sum(spec.limits.memory_bytes for spec in mains) + sidecars * SIDECAR_LIMITS.memory_bytes,
            pids=sum(spec.limits.pids for spec in mains) + sidecars * SIDECAR_LIMITS.pids,
        )

    def start(
        self,
        spec: RunSpec,
        handler: RunHandler,
        resumption: Resumption | None = None,
        prepared: Sandbox | None = None,
        completion: Completion | None = None,
    ) -> None:
        """Start a run in a slot, or adopt one that an earlier process began. The slot takes `prepared` over.

        The caller has checked `count_free`. If the supervisor was closed since then, the run is stopped or released.
        """
        slot = Slot(
            *(self.engine, spec, handler, self._subnets, self._gate.builds, resumption, prepared),
            removals=self._gate.removals,
            on_ended=lambda: self._free_slot(slot),
            completion=completion,
        )
        with self._lock:
            self._slots[spec.run_id] = slot
            if self._is_releasing:
                slot.release()
            elif self._closing.is_set():
                slot.stop(SHUTDOWN)
        thread = threading.Thread(target=self._run_slot, args=(slot,), name=f"slot-{spec.run_id[:8]}", daemon=True)
        try:
            thread.start()
        except BaseException:  # the system has no thread left: the caller retries later
            self._drop_slot(slot)
            if prepared:
                prepared.detach()  # main ends; garbage collection removes both containers
                prepared.abandon()
            raise

    def _run_slot(self, slot: Slot) -> None:
        try:
            with log_context.bind_run(slot.spec.run_id):
                slot.run()
        finally:
            self._drop_slot(slot)
            self._on_free()

    def _free_slot(self, slot: Slot) -> None:
        with self._lock:
            self._removing.add(slot)
        self._drop_slot(slot, is_removed=False)
        self._on_free()

    def _drop_slot(self, slot: Slot, *, is_removed: bool = True) -> None:
        with self._lock:
            if self._slots.get(slot.spec.run_id) is slot:  # not a later slot of the same run
                del self._slots[slot.spec.run_id]
            if is_removed:
                self._removing.discard(slot)
            self._emptied.notify_all()

    def stop(self, run_id: str, reason: str = CANCEL) -> bool:
        with self._lock:
            slot = self._slots.get(run_id)
        if slot:
            slot.stop(reason)
        return slot is not None

    def close(self, seconds: float) -> bool:
        """Accept no new runs, stop all, and wait until they have ended; False after `seconds`."""
        with self._lock:
            self._closing.set()
        with self._lock:
            run_ids = list(self._slots)
        for run_id in run_ids:
            self.stop(run_id, SHUTDOWN)
        return self._wait_until_empty(seconds)

    def release(self, seconds: float) -> bool:
        """Accept no new runs and release all, whose scripts continue; False if some are left after `seconds`."""
        with self._lock:
            self._closing.set()
            self._is_releasing = True
        self._gate.open()
        return self.release_all(seconds)

    def release_all(self, seconds: float) -> bool:
        with self._lock:
            slots = list(self._slots.values())
        for slot in slots:
            slot.release()
        return self._wait_until_empty(seconds)

    def _wait_until_empty(self, seconds: float) -> bool:
        with self._lock:
            return self._emptied.wait_for(lambda: not self._slots and not self._removing, max(0.0, seconds))

    def _measure_memory(self) -> None:
        while not self._closing.wait(MEASURE_SECONDS):
            with self._lock:
                slots = list(self._slots.values())
            for slot in slots:
                try:
                    slot.measure()
                except Exception:
                    log.exception("the memory of run %s could not be measured", slot.spec.run_id)
