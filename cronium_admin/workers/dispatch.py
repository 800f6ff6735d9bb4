"""Dispatch: claims waiting runs of this host's queues while slots are free, and starts them in the supervisor."""

from dataclasses import replace
from decimal import Decimal
from functools import partial

from django.conf import settings

from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.start_time import find_seconds_to_start
from cronium_admin.runs.state_machine import Ending
from cronium_admin.secrets.retired_values import SecretUnavailable
from cronium_admin.workers import lease
from cronium_admin.workers.context import HostContext
from cronium_admin.workers.engine_health import EngineHealth
from cronium_admin.workers.image_builds.completion import make_completion
from cronium_admin.workers.images.run_image import RunImage
from cronium_admin.workers.run_handler import DatabaseRunHandler
from cronium_admin.workers.run_spec import build_spec
from cronium_admin.workers.run_trace import RunTrace
from cronium_admin.workers.scheduling import capacity
from cronium_admin.workers.scheduling.capacity import Resources
from cronium_admin.workers.warm.pool import REASONS
from executor import failpoints

MIN_PAUSE_SECONDS = 0.02


class Dispatcher:
    """Used by one thread."""

    def __init__(self, context: HostContext) -> None:
        self._context = context
        self._engine_health = EngineHealth(context.host, context.engine, context.capacity.queues)

    def claim_waiting(self) -> None:
        context = self._context
        if (
            not context.is_leader
            or context.is_draining
            or (context.is_unsafe and not settings.CONFIG.allow_unsafe_host)
        ):
            return
        while context.supervisor.count_free() > 0 and not context.closing.is_set():
            if not (queues := self._list_claimable_queues()) or context.closing.is_set():
                return
            # A requeued run may still hold its slot here, which removes its sandbox.
            active, ended = context.supervisor.list_active(), context.supervisor.sum_ended()
            in_use = Resources(Decimal(ended.nano_cpus) / 10**9, ended.memory_bytes)
            offer = replace(context.capacity, queues=queues)
            pool = context.pool
            choose = partial(
                capacity.choose_next_run, context.host, offer, active, pool.count_bytes(), pool.request_memory, in_use
            )
            condition = lease.holds_lease(context.host, context.owner)
            run = context.database.call(state_machine.claim_next, context.host, context.owner, choose, condition)
            if run is None:
                return
            trace = RunTrace.start(run)
            failpoints.hit("claimed")
            self._start_run(run, trace)

    def find_pause(self, longest: float) -> float:
        """The seconds until the next waiting run may start, because of its `not_before`; at most `longest`."""
        context = self._context
        if not context.is_leader or context.supervisor.count_free() == 0:
            return longest
        seconds = context.database.call(find_seconds_to_start, context.capacity.queues)
        return longest if seconds is None else min(longest, max(seconds, MIN_PAUSE_SECONDS))

    def _list_claimable_queues(self) -> tuple[str, ...]:
        # While the engine does not answer: no queues at first, later the queues that only this host serves.
        if self._engine_health.is_reachable():
            return self._context.capacity.queues
        if not self._engine_health.is_away_for_long():
            return ()
        return self._context.database.call(self._engine_health.find_sole_queues)

    def _start_run(self, run: Run, trace: RunTrace) -> None:
        context = self._context
        try:
            spec = context.database.call(build_spec, run, context.instance, context.host)
        except SecretUnavailable as error:
            context.database.call(_end_without_secrets, run, str(error))
            return
        may_wait = not self._engine_health.is_away_for_long()
        database, writer = context.database, context.writer
        start = context.pool.take(run)
        handler = DatabaseRunHandler(
            run.pk,
            run.lease_epoch,
            database,
            writer,
            trace=trace,
            image=RunImage(run, context.puller, database),
            may_wait=may_wait,
            start=start,
            on_begun=context.pool.count_start,
        )
        if start.is_broken:
            handler.record_cold_start(start.reason, REASONS[start.reason])
        completion = make_completion(context, spec)
        context.supervisor.start(spec, handler, prepared=start.sandbox, completion=completion)


def _end_without_secrets(run: Run, message: str) -> None:
    ending = Ending(Status.ERRORED, "secret_unavailable", message)
    state_machine.finish(run.pk, run.lease_epoch, ending)
    state_machine.mark_cleaned(run.pk)  # nothing of it was started
