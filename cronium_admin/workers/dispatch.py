"""The worker's side: claims waiting runs while slots are free, keeps leases and heartbeat, sweeps and reaps."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from cronium_admin.core import metrics
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.logs.seal_orphans import OrphanSealer
from cronium_admin.logs.store import LogWriter, RunLog
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import ON_HOST, Run, Status
from cronium_admin.runs.state_machine import Ending
from cronium_admin.secrets.retired_values import SecretUnavailable
from cronium_admin.workers import lease, takeover
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.engine_health import EngineHealth
from cronium_admin.workers.gc import GarbageCollector
from cronium_admin.workers.health import canary
from cronium_admin.workers.health.scheduler import HealthScheduler
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.image_inventory import ImageReporter
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.workers.leadership import Leadership
from cronium_admin.workers.own_engine import make_own_engine
from cronium_admin.workers.run_handler import DatabaseRunHandler
from cronium_admin.workers.run_spec import build_spec
from cronium_admin.workers.scheduling import capacity
from cronium_admin.workers.scheduling.capacity import Capacity
from cronium_admin.workers.shutdown import (
    HAND_OVER_SECONDS,
    LEAVE_SECONDS,
    STOP_SECONDS,
    compute_seconds_left,
    run_steps_until,
)
from cronium_admin.workers.status import HostStatus
from cronium_admin.workers.takeover import AdoptedRun
from executor import failpoints, naming
from executor.docker.errors import NotFound
from executor.docker.ownership import is_container_of
from executor.docker.protocol import EngineLike
from executor.run.supervisor import Supervisor
from executor.sandbox.subnets import SubnetPool
from executor.spec import Cursor, Dropped, Resumption, RunSpec

log = logging.getLogger("cronium.host")
HEARTBEAT_SECONDS = 2.0
FACTS_SECONDS = 3.0
STANDBY_SECONDS = 0.5  # a dead process is replaced this soon where its lock tells of it
SWEEP_SECONDS = 5.0  # a lost "look at run X" costs this much delay
SETTLE_SECONDS = 10.0
DROP_SECONDS = 10.0


def _end_without_secrets(run: Run, message: str) -> None:
    """End a claimed run that can't have its secrets. Nothing of it was started."""
    ending = Ending(Status.ERRORED, "secret_unavailable", message)
    state_machine.finish(run.pk, run.lease_epoch, ending)
    state_machine.mark_cleaned(run.pk)


class Runner:
    """One host's worker. `start` it, `look` when told to, `close` or `hand_over` at the end."""

    def __init__(self, host: str, engine: EngineLike | None = None, queues: tuple[str, ...] = (DEFAULT_QUEUE,)) -> None:
        self.host, self.queues = host, queues
        self._leadership = Leadership(host)
        self.owner = self._leadership.owner
        self.instance = get_instance_id()
        self.engine = engine or make_own_engine(settings.CONFIG.max_concurrent)
        self.database = DatabaseThreads()
        self.writer = LogWriter()
        self.is_leader = False  # this process, and no other, acts for the host
        self.is_unsafe = False  # the host's stored verdict
        self.is_draining = False
        self._subnets = SubnetPool(settings.CONFIG.subnet_pool)
        self._engine_health = EngineHealth(host, self.engine, queues)
        self._capacity = Capacity(queues)
        self._swept_at = -SETTLE_SECONDS
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._status = HostStatus(self.engine, self._closing)
        self.supervisor = Supervisor(self.engine, settings.CONFIG.max_concurrent, self._subnets, self._wake.set)
        self._dispatcher, self._heartbeat = (
            threading.Thread(target=self._run_loop, args=(step, every), name=step.__name__, daemon=True)
            for step, every in ((self._claim_waiting, SWEEP_SECONDS), (self._send_heartbeat, HEARTBEAT_SECONDS))
        )
        self._gc = GarbageCollector(
            *(
                host,
                self.instance,
                self.engine,
                self.database,
                self.supervisor.list_active,
                lambda: self.is_leader,
                self._closing,
            )
        )
        self._canary = canary.CanaryTask(
            *(self.engine, host, self._subnets, self.database, lambda: self.is_leader, self._gc.cleared, self._closing)
        )
        self._tasks = [
            self._gc,
            HealthScheduler(host, self.database, lambda: self.is_leader, self._closing),
            OrphanSealer(self._closing),
            ImageReporter(host, self.engine, self.database, lambda: self.is_leader, self._closing),
            *([self._canary] if settings.CONFIG.canary == "on" else ()),
        ]

    def start(self) -> None:
        """Take over what an earlier process left, clear up after it, then take work."""
        self._status.start()
        self._status.is_known.wait(FACTS_SECONDS)  # what it has to offer, before it takes anything
        self.is_leader = self.database.call(self._leadership.acquire)
        if self.is_leader:
            self.database.call(self._leadership.renew, self._collect_status())
        self._heartbeat.start()  # before anything that waits for the engine: the host's lease is short
        if self.is_leader:
            self._take_over_runs()
            self._gc.collect_at_start()
        self.is_unsafe = self.database.call(canary.is_unsafe, self.host)
        for thread in (self._dispatcher, *self._tasks):
            thread.start()

    def on_wakeup(self, run_id: str) -> None:
        """Something about this run may have changed: obey its cancel flag, or claim what waits."""
        if run_id in self.supervisor.list_active():
            self._stop_cancelled()
        else:
            self._wake.set()

    def close(self, seconds: float = STOP_SECONDS) -> bool:
        """Take nothing new, stop what runs, leave an empty engine; False when that took too long.

        What is still there after `seconds`, or after `hurry`, is handed over. Returns LEAVE_SECONDS later at most.
        """
        self._stop_loops()
        done = self.supervisor.close(seconds)
        now = time.monotonic()
        self._join_threads(now + LEAVE_SECONDS / 3)
        return self._release_leases(now + LEAVE_SECONDS) and done

    def hand_over_now(self) -> None:
        """Hand over what a `close` that is under way has not stopped yet."""
        self.supervisor.release(0)

    def hand_over(self, seconds: float = HAND_OVER_SECONDS) -> bool:
        """Take nothing new and let go of what runs: the scripts go on, and the next process takes them over.

        Returns after `seconds` at most, whether the database and the engine answer or not: False when it was not told
        of all, and the next process finds out by itself.
        """
        end = time.monotonic() + seconds
        self._stop_loops()
        self.supervisor.release(0)  # at once, and then what was claimed a moment ago
        self._join_threads(end - 2 * seconds / 3)
        done = self.supervisor.release(compute_seconds_left(end - seconds / 3))
        return self._release_leases(end) and done

    def _release_runs(self) -> None:
        mine = Run.objects.filter(status=Status.RUNNING, lease_owner=self.owner).values_list("pk", "lease_epoch")
        if released := sum(state_machine.release_lease(run_id, epoch) for run_id, epoch in mine):
            log.info("handed over %d runs that go on", released)

    def _stop_loops(self) -> None:
        self._closing.set()
        self._wake.set()
        self._canary.cancel()

    def _join_threads(self, end: float) -> None:
        for thread in (self._dispatcher, self._heartbeat, *(rounds.thread for rounds in self._tasks)):
            if thread.is_alive():
                thread.join(compute_seconds_left(end))

    def _release_leases(self, end: float) -> bool:
        """Give the leases up and end the threads; False when that was not done until `end`."""
        steps = [partial(self.database.call, self._release_runs)]
        steps += [partial(self.database.call, self._leadership.release)] if self.is_leader else []
        told = run_steps_until(end, *steps, self.writer.close)
        self.database.close(compute_seconds_left(end))
        return told

    def _run_loop(self, step: Callable[[], None], every: float) -> None:
        while not self._closing.is_set():
            try:
                step()
            except Exception:
                log.exception("the host's loop failed once; it goes on")
            if step == self._claim_waiting:
                self._wake.wait(every)
                self._wake.clear()
            else:
                self._closing.wait(every if self.is_leader else STANDBY_SECONDS)

    def _claim_waiting(self) -> None:
        """Claim in order of waiting while a slot is free; an unsafe or draining host claims nothing."""
        self._sweep_abandoned()
        if not self.is_leader or self.is_draining or (self.is_unsafe and not settings.CONFIG.allow_unsafe_host):
            return
        while self.supervisor.count_free() > 0 and not self._closing.is_set():
            if not (queues := self._list_claimable_queues()) or self._closing.is_set():
                return
            # A run that waits again may hold its slot yet, which clears up after it.
            active = self.supervisor.list_active()
            choose = partial(capacity.choose_next_run, self.host, replace(self._capacity, queues=queues), active)
            acts = lease.holds_lease(self.host, self.owner)
            run = self.database.call(state_machine.claim_next, self.host, self.owner, choose, acts)
            if run is None:
                return
            failpoints.hit("claimed")
            self._start_run(run)

    def _list_claimable_queues(self) -> tuple[str, ...]:
        """Those to claim from: while the engine is away none, and after a while what only this host serves."""
        if self._engine_health.is_reachable():
            return self.queues
        return (
            self.database.call(self._engine_health.find_sole_queues) if self._engine_health.is_away_for_long() else ()
        )

    def _start_run(self, run: Run) -> None:
        if run.claimed_at:
            waited = max(0.0, (run.claimed_at - run.created_at).total_seconds())  # a clock may be set back
            metrics.RUN_PHASES.labels("queued").observe(waited)
        try:
            spec = self.database.call(build_spec, run, self.instance, self.host)
        except SecretUnavailable as error:
            self.database.call(_end_without_secrets, run, str(error))
            return
        may_wait = not self._engine_health.is_away_for_long()
        self.supervisor.start(
            spec, DatabaseRunHandler(run.pk, run.lease_epoch, self.database, self.writer, may_wait=may_wait)
        )

    def _collect_status(self) -> dict[str, Any]:
        """The columns of the host's row, and with them what this host has to offer."""
        facts = self._status.read_columns()
        if "cpus" in facts:
            overcommit = settings.CONFIG.cpu_overcommit
            self._capacity = Capacity(self.queues, facts["cpus"], facts["memory_bytes"], overcommit)
        facts |= {"capacity": self.supervisor.capacity, "running": len(self.supervisor.list_active())}
        return facts | {"queues": list(self.queues), "counters": metrics.take_snapshot(metrics.WORKER)}

    def _sweep_abandoned(self) -> None:
        """Now and then: runs that nobody sees to, of this host or of one that is away."""
        if time.monotonic() - self._swept_at < SETTLE_SECONDS:
            return
        self._swept_at = time.monotonic()
        self.database.call(takeover.settle_abandoned_runs)
        if self.is_leader:
            self._take_over_runs()

    def _take_over_runs(self) -> None:
        adopted = self.database.call(
            takeover.take_over_runs,
            self.host,
            self.owner,
            self.instance,
            self.supervisor.list_active(),
            self._remove_main,
        )
        failpoints.hit("adopting")
        if resumed := sum(self._try_resume(run) for run in adopted):
            metrics.ADOPTIONS.inc(resumed)
            log.warning("took over %d runs that an earlier process left behind", resumed)

    def _try_resume(self, run: AdoptedRun) -> bool:
        """False for a run that could not be resumed: it holds up no other, and the next sweep tries it again."""
        try:
            return self._resume_run(run)
        except Exception:
            log.exception("run %s was not resumed", run.spec.run_id, extra={"run_id": run.spec.run_id})
            return False

    def _resume_run(self, run: AdoptedRun) -> bool:
        """Go on with the run where its log ends; False where that log can't be read, so that the run was ended."""
        run_id = UUID(run.spec.run_id)
        try:
            run_log = self.database.call(RunLog.resume, run_id, run.epoch)
        except ApiError as error:
            words = f"The stored log of this run can't be read, so its script was stopped. {error.message}"
            ending, acts = Ending(Status.ERRORED, "log_damaged", words), lease.holds_lease(self.host, self.owner)
            log.error("run %s: %s", run_id, words, extra={"run_id": str(run_id)})
            self.database.call(takeover.stop_and_end, run.spec, ending, self._remove_main, acts)
            return False
        stdout, stderr = Cursor(*run_log.stdout), Cursor(*run_log.stderr)
        handler = DatabaseRunHandler(run_id, run.epoch, self.database, self.writer, run_log)
        rest = run.seconds_left, Dropped(*run_log.dropped), run_log.first_ns, run.started_at, run.stop_reason
        self.supervisor.start(run.spec, handler, Resumption(stdout, stderr, *rest))
        return True

    def _remove_main(self, spec: RunSpec) -> None:
        """Stop a run's script at once; the reaper removes the rest."""
        with suppress(NotFound):
            state = self.engine.inspect(naming.name_main(spec.run_id))
            if is_container_of(self.engine, spec, state):
                self.engine.remove_container(state.id)

    def _send_heartbeat(self) -> None:
        if not (self.is_leader or self.database.call(self._leadership.acquire)):
            return
        self.database.call(state_machine.renew_leases, self.owner)
        self._stop_cancelled()
        if not self.database.call(self._leadership.renew, self._collect_status()):
            self.is_leader = False
            metrics.LEASE_LOSSES.labels("host").inc()
            self.supervisor.release_all(DROP_SECONDS)
            return
        row = self.database.call(Host.objects.get, name=self.host)
        changed = (row.unsafe, row.draining) != (self.is_unsafe, self.is_draining)
        self.is_unsafe, self.is_draining = row.unsafe, row.draining
        if not self.is_leader:  # it has just begun to, and knows by now what it has to offer
            self._swept_at = -SETTLE_SECONDS
            self.is_leader = changed = True
        if changed:  # the canary's word, or that of `manage.py doctor`, or an administrator's
            self._wake.set()

    def _stop_cancelled(self) -> None:
        for run_id in self.database.call(self._find_cancelled):
            self.supervisor.stop(str(run_id))

    def _find_cancelled(self) -> list[UUID]:
        flagged = Run.objects.filter(status__in=ON_HOST, lease_owner=self.owner, cancel_requested_at__isnull=False)
        return list(flagged.values_list("pk", flat=True))
