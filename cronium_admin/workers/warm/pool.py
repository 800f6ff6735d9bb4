"""The sandboxes of this process that wait for a run. In memory; their rows are the promise to launches.

The maker adds them, the remover retires them, the dispatcher takes them. No later process can use them: main ends with
this process.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from uuid import UUID

from cronium_admin.core import metrics
from cronium_admin.runs.models import Run, StartKind
from cronium_admin.warm import rows
from cronium_admin.warm.models import Kind
from cronium_admin.warm.shapes import WarmShape
from cronium_admin.workers.warm.arrivals import Arrivals
from executor import failpoints
from executor.sandbox.sandbox import Sandbox

SANDBOX_BYTES = 20 * 1024 * 1024  # memory that a waiting sandbox uses
FIRST_EPOCH = 1  # of a run's first claim, under which a waiting sandbox is labelled
LOST_EPOCH = 2  # of the first claim of a run whose waiting sandbox is lost, or another process's

REASONS = {
    "gone": "The waiting sandbox of this run was removed before the run was claimed",
    "other_host": "The waiting sandbox of this run is on another host, which did not claim the run in time",
    "requeued": "The waiting sandbox of this run was prepared for its first start",
}


@dataclass
class WaitingSandbox:
    id: UUID
    shape: WarmShape
    sandbox: Sandbox
    made_at: float  # by time.monotonic, as `expires_at`
    expires_at: float
    kind: Kind = Kind.WHOLE


@dataclass(frozen=True)
class Start:
    """How a run gets its sandbox. `reason`: why it gets a new one, a code; empty if one waited.

    `is_broken`: the launch took a waiting sandbox, which cannot be used.
    """

    kind: StartKind | None
    shape: WarmShape | None = None  # of the sandbox that waited; of the run, if none did
    sandbox: Sandbox | None = None
    reason: str = ""
    is_broken: bool = False

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the run's row that record it."""
        if self.kind is None:
            return {}
        return {"start_kind": self.kind.value, **({"cold_reason": self.reason} if self.reason else {})}


UNKNOWN_START = Start(None)


class WarmPool:
    """Thread-safe. `on_change` is called after a sandbox was taken, or has to go."""

    def __init__(self, host: str, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.on_change: Callable[[], None] = lambda: None
        self.hits: Counter[str] = Counter()  # by kind
        self.misses: Counter[str] = Counter()  # by reason
        self.shape_hits: Counter[WarmShape] = Counter()
        self.shape_misses: Counter[WarmShape] = Counter()
        self._host = host
        self._lock = threading.Lock()
        self._items: dict[UUID, WaitingSandbox] = {}
        self._unneeded_rows: list[UUID] = []  # to be deleted
        self._is_memory_requested = False

    def add(self, item: WaitingSandbox) -> None:
        with self._lock:
            self._items[item.id] = item

    def remove(self, sandbox_id: UUID) -> WaitingSandbox | None:
        with self._lock:
            return self._items.pop(sandbox_id, None)

    def list_items(self) -> list[WaitingSandbox]:
        """The oldest first."""
        with self._lock:
            return list(self._items.values())

    def count_bytes(self) -> int:
        with self._lock:
            return len(self._items) * SANDBOX_BYTES

    def take(self, run: Run) -> Start:
        """The sandbox that waits for a run which this host has just claimed, or why there is none."""
        if not rows.is_enabled():
            return Start(StartKind.COLD, reason="off")
        shape, has_promise = WarmShape.from_row(run), bool(run.warm_host)
        item = self.remove(run.pk) if has_promise else None
        self.arrivals.note_launch(shape, time.monotonic(), is_miss=not has_promise)
        if not has_promise:
            return Start(StartKind.COLD, shape, reason="none_waiting")
        failpoints.hit("warm-claimed")
        self.note_unneeded_row(run.pk)  # also of a lost one, which promises nothing any more
        reason = self._find_reason(run, item)
        if reason or item is None:
            if item is not None:  # under an earlier epoch: a new sandbox replaces its containers
                item.sandbox.detach()
                item.sandbox.abandon()
            return Start(StartKind.COLD, shape, reason=reason, is_broken=True)
        self.on_change()
        return Start(StartKind.WARM if item.kind == Kind.WHOLE else StartKind.STEM, item.shape, item.sandbox)

    def _find_reason(self, run: Run, item: WaitingSandbox | None) -> str:
        if run.lease_epoch > LOST_EPOCH:
            return "requeued"
        if run.warm_host != self._host:
            return "other_host"
        return "gone" if item is None or run.lease_epoch != FIRST_EPOCH else ""

    def note_unneeded_row(self, sandbox_id: UUID) -> None:
        """Its sandbox belongs to a run on this host, or is removed. The remover deletes the row."""
        with self._lock:
            self._unneeded_rows.append(sandbox_id)

    def list_unneeded_rows(self) -> list[UUID]:
        with self._lock:
            return list(self._unneeded_rows)

    def forget_unneeded_row(self, sandbox_id: UUID) -> None:
        with self._lock:
            self._unneeded_rows = [noted for noted in self._unneeded_rows if noted != sandbox_id]

    def request_memory(self) -> None:
        """A run needs the memory of the waiting sandboxes."""
        with self._lock:
            self._is_memory_requested = True
        self.on_change()

    def pop_memory_request(self) -> bool:
        with self._lock:
            is_requested, self._is_memory_requested = self._is_memory_requested, False
        return is_requested

    def count_waiting(self) -> None:
        counts = Counter(item.kind for item in self.list_items())
        for kind in Kind:
            metrics.WARM_WAITING.labels(kind.value).set(counts[kind])

    def count_start(self, start: Start) -> None:
        """A run begins."""
        if start.kind is None:
            return
        metrics.WARM_STARTS.labels(start.kind.value).inc()
        with self._lock:
            if start.kind != StartKind.COLD:
                self.hits[start.kind.value] += 1
            elif start.reason != "off":
                self.misses[start.reason] += 1
            if start.shape:
                by_shape = self.shape_misses if start.kind == StartKind.COLD else self.shape_hits
                by_shape[start.shape] += 1
        if start.kind == StartKind.COLD and start.reason != "off":
            metrics.WARM_MISSES.labels(start.reason).inc()

    def forget_counts_except(self, shapes: Collection[WarmShape]) -> None:
        with self._lock:
            for counts in (self.shape_hits, self.shape_misses):
                for shape in [shape for shape in counts if shape not in shapes]:
                    del counts[shape]
