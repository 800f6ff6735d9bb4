"""Takeover: the leader of a host requeues, adopts or ends the host's runs that no process handles."""

import logging
import time
from collections.abc import Callable, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import UUID

from django.db.models import Q

from cronium_admin.core import metrics
from cronium_admin.core.database.clock import Now
from cronium_admin.core.errors import ApiError
from cronium_admin.logs.store import RunLog
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import ON_HOST, Run, Status
from cronium_admin.runs.state_machine import Ending
from cronium_admin.secrets.retired_values import SecretUnavailable
from cronium_admin.workers import abandoned, lease
from cronium_admin.workers.context import HostContext
from cronium_admin.workers.image_builds.completion import make_completion
from cronium_admin.workers.run_handler import DatabaseRunHandler
from cronium_admin.workers.run_spec import build_spec_to_adopt, build_spec_to_remove
from cronium_admin.workers.run_trace import RunTrace
from executor import failpoints, naming
from executor.docker.errors import EngineError, NotFound
from executor.docker.ownership import is_container_of
from executor.spec import Cursor, Dropped, Resumption, RunSpec

log = logging.getLogger("cronium.host")
recovery_log = logging.getLogger("cronium.recovery")
REQUEUE_MESSAGE = "Its worker stopped before the script began"
SETTLE_SECONDS = 10.0


@dataclass(frozen=True)
class AdoptedRun:
    """A run that this process has taken over."""

    spec: RunSpec
    epoch: int
    seconds_left: float  # of its time limit
    started_at: float  # by time.monotonic
    stop_reason: str
    trace: RunTrace


class Takeover:
    """Adopts this host's runs into the supervisor, and settles abandoned runs. Used by the host's threads."""

    def __init__(self, context: HostContext) -> None:
        self._context = context
        self._swept_at = 0.0  # by time.monotonic
        self.is_scheduled = True  # the next `sweep` does not wait for SETTLE_SECONDS

    def schedule_sweep(self) -> None:
        self.is_scheduled = True

    def sweep(self) -> bool:
        """At most every SETTLE_SECONDS: settle abandoned runs of any host and, as leader, take over this host's.

        False if it is too early.
        """
        if not self.is_scheduled and time.monotonic() - self._swept_at < SETTLE_SECONDS:
            return False
        self.is_scheduled, self._swept_at = False, time.monotonic()
        self._context.database.call(abandoned.settle_abandoned_runs)
        if self._context.is_leader:
            self.adopt_runs()
        return True

    def adopt_runs(self) -> None:
        context = self._context
        active = context.supervisor.list_active()
        adopted = context.database.call(
            take_over_runs, context.host, context.owner, context.instance, active, self._remove_main
        )
        failpoints.hit("adopting")
        if resumed := sum(self._try_resume(run) for run in adopted):
            metrics.ADOPTIONS.inc(resumed)
            log.warning("took over %d runs of an earlier process", resumed)

    def _try_resume(self, run: AdoptedRun) -> bool:
        # An error must not delay the other runs: the next sweep retries.
        try:
            return self._resume_run(run)
        except Exception:
            log.exception("run %s was not resumed", run.spec.run_id, extra={"run_id": run.spec.run_id})
            return False

    def _resume_run(self, run: AdoptedRun) -> bool:
        context, run_id = self._context, UUID(run.spec.run_id)
        try:
            run_log = context.database.call(RunLog.resume, run_id, run.epoch)
        except ApiError as error:
            message = f"The stored log of this run can't be read, so its script was stopped. {error.message}"
            log.error("run %s: %s", run_id, message, extra={"run_id": str(run_id)})
            ending = Ending(Status.ERRORED, "log_damaged", message)
            condition = lease.holds_lease(context.host, context.owner)
            context.database.call(stop_and_end, run.spec, ending, self._remove_main, condition)
            return False
        handler = DatabaseRunHandler(run_id, run.epoch, context.database, context.writer, run_log, trace=run.trace)
        resumption = Resumption(
            Cursor(*run_log.stdout),
            Cursor(*run_log.stderr),
            run.seconds_left,
            Dropped(*run_log.dropped),
            run_log.first_ns,
            run.started_at,
            run.stop_reason,
        )
        context.supervisor.start(run.spec, handler, resumption, completion=make_completion(context, run.spec))
        return True

    def _remove_main(self, spec: RunSpec) -> None:
        # Garbage collection removes the run's other objects.
        engine = self._context.engine
        with suppress(NotFound):
            state = engine.inspect(naming.name_main(spec.run_id))
            if is_container_of(engine, spec, state):
                engine.remove_container(state.id)


def take_over_runs(
    host: str, owner: str, instance: str, active: Set[str], remove: Callable[[RunSpec], None]
) -> list[AdoptedRun]:
    """Requeue, adopt or end this host's runs that are not `active` here. Call only as leader.

    Every change is conditional on the host's lease, so a process that was frozen and lost it changes nothing. A run
    whose script had not begun is requeued: user code starts at most once. `remove` stops a run whose log cannot be
    masked; while it raises EngineError, the run stays as it is for the next sweep.
    """
    adopted, condition = [], lease.holds_lease(host, owner)
    runs = Run.objects.filter(status__in=ON_HOST, host=host).select_related("revision__script")
    for run in runs.exclude(pk__in=active):
        if run.status == Status.STARTING:
            if run.cancel_requested_at:
                state_machine.finish(run.pk, run.lease_epoch, abandoned.CANCELLED_BEFORE_START, condition)
            else:
                state_machine.requeue(run.pk, run.lease_epoch, REQUEUE_MESSAGE, only_if=condition)
        elif (spec := _build_spec_or_end(run, instance, host, remove, condition)) and state_machine.adopt(
            run.pk, run.lease_epoch, owner, _describe_takeover(run, owner), condition
        ):
            adopted.append(_make_adopted(run, spec))
    return adopted


def _describe_takeover(run: Run, owner: str) -> str:
    if run.lease_owner == owner:
        return f"Adopted again by the worker of host {run.host}, which had lost its lease"
    cause = "died" if run.lease_owner else "was stopped and had released the run"
    return f"Adopted by the new worker of host {run.host}: the previous worker {cause}"


def _build_spec_or_end(
    run: Run, instance: str, host: str, remove: Callable[[RunSpec], None], condition: Q
) -> RunSpec | None:
    try:
        return build_spec_to_adopt(run, instance, host)
    except SecretUnavailable as error:
        ending = Ending(Status.ERRORED, "secret_unavailable", str(error))
        stop_and_end(build_spec_to_remove(run, instance, host), ending, remove, condition)
        return None


def stop_and_end(spec: RunSpec, ending: Ending, remove: Callable[[RunSpec], None], condition: Q) -> None:
    """While `remove` raises EngineError, the run stays as it is for the next sweep."""
    if not Run.objects.filter(condition, pk=spec.run_id, status=Status.RUNNING, lease_epoch=spec.epoch).exists():
        return
    try:
        remove(spec)
    except EngineError as error:
        recovery_log.warning("run %s could not be stopped yet: %s", spec.run_id, error, extra={"run_id": spec.run_id})
    else:
        state_machine.finish(UUID(spec.run_id), spec.epoch, ending, condition)


def _make_adopted(run: Run, spec: RunSpec) -> AdoptedRun:
    run.refresh_from_db()
    passed = Run.objects.filter(pk=run.pk).values_list(Now() - run.started_at, flat=True).get()  # the database's clock
    seconds = max(0.0, passed.total_seconds())  # the clock may have been set back
    started_at = time.monotonic() - seconds
    seconds_left = max(0.0, run.timeout_seconds - seconds)
    spec, trace = replace(spec, epoch=run.lease_epoch), RunTrace.continue_adopted(run, seconds)
    return AdoptedRun(spec, run.lease_epoch, seconds_left, started_at, run.stop_reason, trace)
