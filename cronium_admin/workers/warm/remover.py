"""Retires and removes the waiting sandboxes of a host. Used by the maker's thread.

Nothing is removed before its row says that no launch can take it. An item that is no longer in the pool belongs to the
dispatcher, and stays.
"""

import logging
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from cronium_admin.core import metrics
from cronium_admin.runs.models import ON_HOST, Run
from cronium_admin.warm import rows
from cronium_admin.warm.models import State
from cronium_admin.workers.context import HostContext
from cronium_admin.workers.warm.arrivals import Plan
from cronium_admin.workers.warm.pool import WaitingSandbox
from executor.docker.errors import EngineError
from executor.sandbox.sandbox import Sandbox

log = logging.getLogger("cronium.warm")
UNCLAIMED_SECONDS = 10.0  # after which a taken sandbox is retired: the run is another host's, or was cancelled
REMOVAL_PAUSES = (0.2, 0.5, 0.0)  # seconds after each failed removal; a stopping worker waits 8 s in all
LEFT_PAUSE, LEFT_SECONDS = 10.0, 600.0  # between later attempts; after that only garbage collection continues
SURPLUS_SECONDS = 60.0  # a sandbox is kept at least this long before it makes room for another shape


class WarmRemover:
    def __init__(self, context: HostContext) -> None:
        self._context, self._pool = context, context.pool
        self._left: dict[Sandbox, float] = {}  # those that could not be removed, and when this ceases to try
        self._tried_at = 0.0

    def delete_rows(self) -> None:
        """Deletes the rows that are no longer needed; those that the database refuses to delete stay noted."""
        for sandbox_id in self._pool.list_unneeded_rows():
            self._context.database.call(rows.delete_row, sandbox_id, self._context.owner)
            self._pool.forget_unneeded_row(sandbox_id)

    def remove_left(self) -> None:
        """Tries again to remove what an engine kept that was away or busy."""
        now = time.monotonic()
        if not self._left or (now < self._tried_at + LEFT_PAUSE and not self._context.closing.is_set()):
            return
        self._tried_at = now
        try:
            self._context.engine.ping()
        except EngineError:
            return
        for sandbox, until in list(self._left.items()):
            if sandbox.take_down() or now > until:
                self._left.pop(sandbox)

    def check_items(self) -> None:
        """Removes those that are old or defective, or whose row allows no run to take them any more."""
        items = self._pool.list_items()
        if not items:
            return
        states = self._context.database.call(rows.list_states, self._context.owner)
        now = time.monotonic()
        for item in items:
            state, since_taken = states.get(item.id, (State.GONE.value, None))
            if state == State.TAKEN:
                if since_taken is not None and since_taken.total_seconds() > UNCLAIMED_SECONDS:
                    self._remove_unclaimed(item)
            elif state != State.READY:
                self.remove(item, "its row is gone")
            elif defect := item.sandbox.find_defect():
                self._retire(item, defect)
            elif now > item.expires_at:
                self._retire(item, "it is old")

    def retire_surplus(self, plan: Plan, limit: int) -> None:
        items = self._pool.list_items()
        counts = Counter(item.shape for item in items)
        now, is_full = time.monotonic(), len(items) >= limit
        for item in items:  # the oldest first
            count, wanted = counts[item.shape], plan.wanted.get(item.shape, 0)
            is_unwanted = count > wanted or len(items) > limit
            gives_way = is_full and count > plan.given.get(item.shape, 0) and now - item.made_at > SURPLUS_SECONDS
            if (is_unwanted or gives_way) and self._retire(item, "fewer are needed"):
                counts[item.shape] -= 1
                items = self._pool.list_items()
                is_full = False

    def retire_all(self) -> None:
        """All that no launch has taken."""
        context = self._context
        if not self._pool.list_items():
            self.remove_left()
            return
        context.database.call(rows.mark_all_gone, context.owner)
        states = context.database.call(rows.list_states, context.owner)
        gone = [item for item in self._pool.list_items() if states.get(item.id, ("",))[0] != State.TAKEN]
        removed = [item for item in gone if self._pool.remove(item.id)]
        if context.closing.is_set():
            context.database.call(rows.delete_gone, context.owner)
        metrics.WARM_BUILDS.labels("retired").inc(len(removed))
        with ThreadPoolExecutor(4, "warm-removal") as threads:
            list(threads.map(self._take_down, removed))
        self.remove_left()
        self._pool.count_waiting()

    def drop_all(self) -> None:
        """Closes the connections and removes nothing: the garbage collection of another process does, or a run of it
        replaces the containers."""
        self._left.clear()
        for item in self._pool.list_items():
            if self._pool.remove(item.id):
                _drop_item(item)
        for sandbox_id in self._pool.list_unneeded_rows():
            self._pool.forget_unneeded_row(sandbox_id)

    def remove(self, item: WaitingSandbox, why: str) -> None:
        """For an item whose row no launch can take."""
        if self._take_out(item, why):
            self._take_down(item)

    def discard_failed(self, sandbox_id: uuid.UUID, sandbox: Sandbox) -> None:
        """A sandbox whose build failed: it never was in the pool."""
        self._pool.note_unneeded_row(sandbox_id)
        try:
            self._context.database.call(rows.mark_gone, sandbox_id, self._context.owner)
        finally:
            self._remove_objects(sandbox)
        self.delete_rows()

    def _retire(self, item: WaitingSandbox, why: str) -> bool:
        """False if a launch has taken it meanwhile."""
        if not self._context.database.call(rows.mark_gone, item.id, self._context.owner):
            return False
        self.remove(item, why)
        return True

    def _remove_unclaimed(self, item: WaitingSandbox) -> None:
        if not self._take_out(item, "its run was not claimed in time"):
            return
        database, owner, is_claimed = self._context.database, self._context.owner, True
        claimed = Run.objects.filter(pk=item.id, status__in=ON_HOST, lease_owner=owner)
        try:
            database.call(rows.mark_lost, item.id, owner)
            is_claimed = database.call(claimed.exists)
        finally:  # without an answer of the database, garbage collection removes it
            if is_claimed:
                # Claimed a moment ago, under the same epoch: the run's new sandbox replaces these containers.
                _drop_item(item)
                self._pool.note_unneeded_row(item.id)
            else:
                self._take_down(item)

    def _take_out(self, item: WaitingSandbox, why: str) -> bool:
        if self._pool.remove(item.id) is None:  # the dispatcher has it
            return False
        log.info("a waiting sandbox is removed: %s", why, extra={"run_id": str(item.id)})
        metrics.WARM_BUILDS.labels("retired").inc()
        return True

    def _take_down(self, item: WaitingSandbox) -> None:
        self._remove_objects(item.sandbox)
        if not self._context.closing.is_set():  # the database threads end soon, and its row is deleted already
            self._pool.note_unneeded_row(item.id)
            self.delete_rows()

    def _remove_objects(self, sandbox: Sandbox) -> None:
        # A busy engine may fail to remove a container that it has just killed.
        for pause in REMOVAL_PAUSES:
            if sandbox.take_down():
                break
            time.sleep(pause)
        else:
            self._tried_at = time.monotonic()
            self._left[sandbox] = self._tried_at + LEFT_SECONDS
        sandbox.abandon()


def _drop_item(item: WaitingSandbox) -> None:
    # Main ends with its input.
    item.sandbox.detach()
    item.sandbox.abandon()
