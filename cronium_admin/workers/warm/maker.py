"""The thread that keeps a host's waiting sandboxes: builds missing ones, one at a time. `WarmRemover` removes others.

Only the leader of the host builds. The row exists before anything of its sandbox is created.
"""

import logging
import random
import threading
import time
import uuid
from collections import Counter

import psutil
from django.conf import settings

from cronium_admin.core import metrics
from cronium_admin.warm import rows
from cronium_admin.warm.models import Kind
from cronium_admin.warm.shapes import WarmShape
from cronium_admin.workers.context import HostContext
from cronium_admin.workers.run_spec import build_shape
from cronium_admin.workers.scheduling.capacity import Resources, sum_reserved_on
from cronium_admin.workers.warm import history
from cronium_admin.workers.warm.arrivals import Plan
from cronium_admin.workers.warm.pacing import MAX_CPU_PERCENT, BuildBudget, Failures
from cronium_admin.workers.warm.pool import FIRST_EPOCH, SANDBOX_BYTES, WaitingSandbox
from cronium_admin.workers.warm.remover import WarmRemover
from cronium_admin.workers.warm.sizing import compute_limit
from executor import failpoints
from executor.docker.errors import EngineUnreachable, SandboxDrift
from executor.sandbox import inspection
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from executor.sandbox.topology import choose_topology

log = logging.getLogger("cronium.warm")
TICK_SECONDS = 2.0
BUSY_SECONDS = 0.5  # until the next look at a busy machine
AFTER_TAKE_SECONDS = 0.3  # a run that has just begun goes first
DEFAULTS_SECONDS = 60.0
MAX_AGE_SECONDS, AGE_SPREAD = 3600.0, 0.2  # so that not all of a burst end together; a sidecar waits for two hours
SUBNETS_OF_A_RUN = 2  # at most, with `egress`


class WarmMaker:
    """`start`, `wake` whenever something has changed, and `stop` at the end, which removes all."""

    def __init__(self, context: HostContext, subnets: SubnetPool) -> None:
        self.pool = context.pool
        self.remover = WarmRemover(context)
        self.failures: Failures[WarmShape] = Failures()
        self.plan = Plan({}, {}, {})
        self.limit = 0
        self.pause_reason = ""
        self.delay_reason = ""
        self.building: WarmShape | None = None
        self._context, self._subnets = context, subnets
        self._budget = BuildBudget()
        self._wake = threading.Event()
        self._sandbox: Sandbox | None = None  # that is being built
        self._owner = ""  # under which this process has begun to lead
        self._is_takeable = True
        self._defaults_at = -DEFAULTS_SECONDS
        self._not_before = 0.0
        self.thread = threading.Thread(target=self._run, name="warm", daemon=True)
        self.pool.on_change = self.wake

    def start(self) -> None:
        self.thread.start()

    def wake(self) -> None:
        self._not_before = time.monotonic() + AFTER_TAKE_SECONDS
        self._wake.set()

    def stop(self) -> None:
        """After `context.closing` is set."""
        if sandbox := self._sandbox:
            sandbox.abort()
        self._wake.set()

    def join(self, seconds: float) -> None:
        if self.thread.is_alive():
            self.thread.join(seconds)

    def _run(self) -> None:
        while not self._context.closing.is_set():
            try:
                pause = self.run_once()
            except Exception as error:
                if self._context.closing.is_set():
                    log.info("the pool of waiting sandboxes stopped during its last step: %s", error)
                    break
                log.exception("an error in the pool of waiting sandboxes; it continues")
                pause = TICK_SECONDS
            self._wake.wait(pause)
            self._wake.clear()
        try:
            self.remover.retire_all()
        except Exception as error:  # noqa: BLE001 - the next worker removes what is left
            log.info("waiting sandboxes are left to garbage collection: %s", error)
        self._drop_pool()  # those that are promised: their runs begin in another process

    def run_once(self) -> float:
        """One step: returns the seconds until the next."""
        context = self._context
        if not context.is_leader:
            self._drop_pool()
            return TICK_SECONDS
        if self._owner != context.owner:
            self._begin()
        self.limit = compute_limit(settings.CONFIG.warm_limit, context.capacity.memory_bytes, SANDBOX_BYTES)
        self.pause_reason = self._find_pause_reason()
        self.remover.delete_rows()
        self.remover.remove_left()
        self.remover.check_items()
        self._update_defaults()
        limit = 0 if self.pause_reason else self.limit
        now = time.monotonic()
        paused = self.failures.list_paused(now)
        refill_seconds = self._budget.average_seconds + AFTER_TAKE_SECONDS
        self.plan = self.pool.arrivals.make_plan(now, limit, refill_seconds, paused, self._has_stem)
        self.failures.forget_except(self.plan.wanted)
        self.pool.forget_counts_except(self.plan.rates.keys())
        if self.pause_reason or self.pool.pop_memory_request():
            self.remover.retire_all()
            return TICK_SECONDS
        self.remover.retire_surplus(self.plan, self.limit)
        self._update_takeable()
        self.pool.count_waiting()
        shape = self._find_missing_shape()
        self.delay_reason = "" if shape is None else self._find_delay()
        if shape is None:
            return TICK_SECONDS
        if self.delay_reason:
            return BUSY_SECONDS
        self._build(shape)
        return 0.0

    def _begin(self) -> None:
        # This process is a new leader.
        context = self._context
        deleted = context.database.call(rows.delete_rows_of_host, context.host, context.owner)
        if deleted:
            log.info("%d waiting sandboxes of an earlier worker are gone", deleted)
        if rows.is_enabled():
            now = time.monotonic()
            recent = context.database.call(history.read_recent_launches, context.host)
            self.pool.arrivals.note_earlier([(shape, now - age) for shape, age in recent])
        self._owner = context.owner

    def _find_pause_reason(self) -> str:
        context = self._context
        if self.limit == 0:
            return "CRONIUM_WARM is 0"
        if context.is_draining:
            return "the host is draining"
        if context.is_unsafe:
            return "the host is unsafe"
        return ""

    def _update_defaults(self) -> None:
        now = time.monotonic()
        if now - self._defaults_at < DEFAULTS_SECONDS or not rows.is_enabled():
            return
        languages, database = self.pool.arrivals.list_languages(now), self._context.database
        if languages:
            self._defaults_at = now
        self.pool.arrivals.set_defaults(database.call(history.find_default_shapes, languages) if languages else ())

    def _find_missing_shape(self) -> WarmShape | None:
        items = self.pool.list_items()
        if len(items) >= self.limit or self._context.supervisor.count_free() == 0:
            return None
        counts = Counter(item.shape for item in items)
        missing = [shape for shape, places in self.plan.given.items() if counts[shape] < places]
        return max(missing, key=lambda shape: (shape.is_stem, self.plan.rates.get(shape, 0.0)), default=None)

    def _has_stem(self, shape: WarmShape) -> bool:
        context = self._context
        spec = build_shape(shape, context.instance, context.host)
        return choose_topology(spec, context.engine.default_runtime) == "joined"

    def _find_delay(self) -> str:
        """Why a missing sandbox is not built at this moment; empty: it is."""
        context, supervisor, now = self._context, self._context.supervisor, time.monotonic()
        is_busy = psutil.cpu_percent(None) > MAX_CPU_PERCENT or supervisor.is_building()
        if supervisor.has_waiting_builds():
            return "sandboxes of runs are built first"
        if now < self._not_before or context.closing.is_set():
            return "a run or a build has just begun or ended"
        if is_busy and not self._budget.is_rested(now):
            return "the machine is busy: one is built in ten seconds"
        if not self._budget.has_room(now, context.capacity.cpus):
            return "builds have used their share of the CPU for this minute"
        if self._subnets.count_free() < SUBNETS_OF_A_RUN * (supervisor.count_free() + 1):
            return "the subnets are reserved for runs"
        return "" if self._has_memory() else "the memory is reserved for runs"

    def _has_memory(self) -> bool:
        context = self._context
        if context.capacity.memory_bytes is None:
            return True
        reserved = context.database.call(sum_reserved_on, context.host)
        needed = Resources(memory_bytes=self.pool.count_bytes() + SANDBOX_BYTES)
        return context.capacity.can_fit_now(reserved, needed)

    def _build(self, shape: WarmShape) -> None:
        context, sandbox_id = self._context, uuid.uuid4()
        kind, queues = Kind.STEM if shape.is_stem else Kind.WHOLE, context.capacity.queues
        context.database.call(
            lambda: rows.insert_building(sandbox_id, context.host, context.owner, queues, kind, **shape.columns)
        )
        spec = build_shape(shape, context.instance, context.host).make_sandbox_spec(str(sandbox_id), FIRST_EPOCH)
        sandbox = Sandbox(context.engine, spec, self._subnets)
        self.building, self._sandbox, began_at = shape, sandbox, time.monotonic()
        try:
            if context.closing.is_set():
                sandbox.abort()
            if shape.is_stem:
                sandbox.prepare_stem()
            else:
                sandbox.prepare()
            failpoints.hit("warm-prepared")
            if broken := inspection.describe_violations(sandbox.build_report()):
                raise SandboxDrift(broken)
        except Exception as error:  # noqa: BLE001 - logged, and tried again later
            now = time.monotonic()
            self._budget.note_build(now, now - began_at, is_done=False)
            self._note_failed(shape, error)
            self.remover.discard_failed(sandbox_id, sandbox)
        else:
            self._announce(sandbox_id, shape, sandbox, kind, began_at)
        finally:
            self.building = self._sandbox = None

    def _announce(self, sandbox_id: uuid.UUID, shape: WarmShape, sandbox: Sandbox, kind: Kind, began_at: float) -> None:
        # In the pool before its row is ready, because a launch may take it at once.
        now = time.monotonic()
        age = MAX_AGE_SECONDS * (1 - random.uniform(0, AGE_SPREAD))  # noqa: S311
        item = WaitingSandbox(sandbox_id, shape, sandbox, now, now + age, kind)
        self.pool.add(item)
        self._budget.note_build(now, now - began_at)
        self.failures.note_success(shape)
        digest, image_id = sandbox.shape_digest, sandbox.image_id
        owner = self._context.owner
        if self._context.database.call(rows.mark_ready, sandbox_id, owner, kind, digest, image_id):
            failpoints.hit("warm-ready")
            metrics.WARM_BUILDS.labels("ready").inc()
        else:
            self.remover.remove(item, "the lease of the host was lost while it was built")

    def _note_failed(self, shape: WarmShape, error: Exception) -> None:
        if self._context.closing.is_set():
            return
        metrics.WARM_BUILDS.labels("failed").inc()
        name = shape.image or f"the network {shape.network}"
        log.warning("a sandbox for %s could not be prepared in advance: %s", name, error)
        if not isinstance(error, EngineUnreachable):  # that is no fault of the shape
            self.failures.note_failure(shape, time.monotonic(), str(error))
        self._not_before = time.monotonic() + TICK_SECONDS

    def _drop_pool(self) -> None:
        """Another process leads the host, or will."""
        self._owner = ""
        self.plan = Plan({}, {}, {})
        self.remover.drop_all()

    def _update_takeable(self) -> None:
        is_takeable = self._context.supervisor.count_free() > 0
        if is_takeable != self._is_takeable:
            self._context.database.call(rows.set_takeable, self._context.owner, is_takeable)
            self._is_takeable = is_takeable
