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
from cronium_admin.core.errors import Refused
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.logs.seal_orphans import Sealer
from cronium_admin.logs.store import LogWriter, RunLog
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import ON_HOST, Run, Status
from cronium_admin.runs.state_machine import Ending
from cronium_admin.secrets.retired_values import SecretUnavailable
from cronium_admin.workers import lease, takeover
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.engine_health import EngineWatch
from cronium_admin.workers.gc import Reaper
from cronium_admin.workers.health import canary
from cronium_admin.workers.health.scheduler import Checkup
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.image_inventory import Inventory
from cronium_admin.workers.instance import instance
from cronium_admin.workers.leadership import Acting
from cronium_admin.workers.own_engine import own_engine
from cronium_admin.workers.run_handler import RowHandler
from cronium_admin.workers.run_spec import spec_of
from cronium_admin.workers.scheduling import capacity
from cronium_admin.workers.scheduling.capacity import Offer
from cronium_admin.workers.shutdown import HAND_OVER_SECONDS, LEAVE_SECONDS, STOP_SECONDS, left, within
from cronium_admin.workers.status import HostFacts
from cronium_admin.workers.takeover import Adopted
from executor import failpoints
from executor.docker.errors import NotFound
from executor.run.supervisor import Supervisor
from executor.sandbox import options
from executor.sandbox.ownership import is_container_of
from executor.sandbox.sandbox import EngineLike
from executor.sandbox.subnets import SubnetPool
from executor.spec import Cursor, Dropped, Resumption, RunSpec

log = logging.getLogger("cronium.host")
HEARTBEAT_SECONDS = 2.0
FACTS_SECONDS = 3.0
STANDBY_SECONDS = 0.5  # a dead process is replaced this soon where its lock tells of it
SWEEP_SECONDS = 5.0  # a lost "look at run X" costs this much delay
SETTLE_SECONDS = 10.0
DROP_SECONDS = 10.0


def _refuse(run: Run, message: str) -> None:
    """End a claimed run that can't have its secrets. Nothing of it was started."""
    ending = Ending(Status.ERRORED, "secret_unavailable", message)
    state_machine.finish(run.pk, run.lease_epoch, ending)
    state_machine.mark_clean(run.pk)


class Runner:
    """One host's worker. `start` it, `look` when told to, `close` or `hand_over` at the end."""

    def __init__(self, host: str, engine: EngineLike | None = None, queues: tuple[str, ...] = (DEFAULT_QUEUE,)) -> None:
        self.host, self.queues = host, queues
        self._acting = Acting(host)
        self.owner = self._acting.owner
        self.instance = instance()
        self.engine = engine or own_engine(settings.CONFIG.max_concurrent)
        self.database = DatabaseThreads()
        self.writer = LogWriter()
        self.acts = False  # this process, and no other, acts for the host
        self.unsafe = False  # the host's stored verdict
        self.draining = False
        self._subnets = SubnetPool(settings.CONFIG.subnet_pool)
        self._watch = EngineWatch(host, self.engine, queues)
        self._offer = Offer(queues)
        self._swept_at = -SETTLE_SECONDS
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._facts = HostFacts(self.engine, self._closing)
        self.supervisor = Supervisor(self.engine, settings.CONFIG.max_concurrent, self._subnets, self._wake.set)
        self._dispatcher, self._pulse = (
            threading.Thread(target=self._loop, args=(step, every), name=step.__name__, daemon=True)
            for step, every in ((self._dispatch, SWEEP_SECONDS), (self._beat, HEARTBEAT_SECONDS))
        )
        self._reaper = Reaper(
            *(host, self.instance, self.engine, self.database, self.supervisor.active, lambda: self.acts, self._closing)
        )
        self._trials = canary.Trials(
            *(self.engine, host, self._subnets, self.database, lambda: self.acts, self._reaper.cleared, self._closing)
        )
        self._rounds = [
            self._reaper,
            Checkup(host, self.database, lambda: self.acts, self._closing),
            Sealer(self._closing),
            Inventory(host, self.engine, self.database, lambda: self.acts, self._closing),
            *([self._trials] if settings.CONFIG.canary == "on" else ()),
        ]

    def start(self) -> None:
        """Take over what an earlier process left, clear up after it, then take work."""
        self._facts.start()
        self._facts.known.wait(FACTS_SECONDS)  # what it has to offer, before it takes anything
        self.acts = self.database.call(self._acting.acquire)
        if self.acts:
            self.database.call(self._acting.renew, self._tell())
        self._pulse.start()  # before anything that waits for the engine: the host's lease is short
        if self.acts:
            self._take_over()
            self._reaper.at_start()
        self.unsafe = self.database.call(canary.is_unsafe, self.host)
        for thread in (self._dispatcher, *self._rounds):
            thread.start()

    def look(self, run_id: str) -> None:
        """Something about this run may have changed: obey its cancel flag, or claim what waits."""
        if run_id in self.supervisor.active():
            self._obey_cancels()
        else:
            self._wake.set()

    def close(self, seconds: float = STOP_SECONDS) -> bool:
        """Take nothing new, stop what runs, leave an empty engine; False when that took too long.

        What is still there after `seconds`, or after `hurry`, is handed over. Returns LEAVE_SECONDS later at most.
        """
        self._end_loops()
        done = self.supervisor.close(seconds)
        now = time.monotonic()
        self._join(now + LEAVE_SECONDS / 3)
        return self._leave(now + LEAVE_SECONDS) and done

    def hurry(self) -> None:
        """Hand over what a `close` that is under way has not stopped yet."""
        self.supervisor.release(0)

    def hand_over(self, seconds: float = HAND_OVER_SECONDS) -> bool:
        """Take nothing new and let go of what runs: the scripts go on, and the next process takes them over.

        Returns after `seconds` at most, whether the database and the engine answer or not: False when it was not told
        of all, and the next process finds out by itself.
        """
        end = time.monotonic() + seconds
        self._end_loops()
        self.supervisor.release(0)  # at once, and then what was claimed a moment ago
        self._join(end - 2 * seconds / 3)
        done = self.supervisor.release(left(end - seconds / 3))
        return self._leave(end) and done

    def _release(self) -> None:
        mine = Run.objects.filter(status=Status.RUNNING, lease_owner=self.owner).values_list("pk", "lease_epoch")
        if released := sum(state_machine.release(run_id, epoch) for run_id, epoch in mine):
            log.info("handed over %d runs that go on", released)

    def _end_loops(self) -> None:
        self._closing.set()
        self._wake.set()
        self._trials.cut()

    def _join(self, end: float) -> None:
        for thread in (self._dispatcher, self._pulse, *(rounds.thread for rounds in self._rounds)):
            if thread.is_alive():
                thread.join(left(end))

    def _leave(self, end: float) -> bool:
        """Give the leases up and end the threads; False when that was not done until `end`."""
        steps = [partial(self.database.call, self._release)]
        steps += [partial(self.database.call, self._acting.give_up)] if self.acts else []
        told = within(end, *steps, self.writer.close)
        self.database.close(left(end))
        return told

    def _loop(self, step: Callable[[], None], every: float) -> None:
        while not self._closing.is_set():
            try:
                step()
            except Exception:
                log.exception("the host's loop failed once; it goes on")
            if step == self._dispatch:
                self._wake.wait(every)
                self._wake.clear()
            else:
                self._closing.wait(every if self.acts else STANDBY_SECONDS)

    def _dispatch(self) -> None:
        """Claim in order of waiting while a slot is free; an unsafe or draining host claims nothing."""
        self._sweep()
        if not self.acts or self.draining or (self.unsafe and not settings.CONFIG.allow_unsafe_host):
            return
        while self.supervisor.free() > 0 and not self._closing.is_set():
            if not (queues := self._open_queues()) or self._closing.is_set():
                return
            # A run that waits again may hold its slot yet, which clears up after it.
            active = self.supervisor.active()
            choose = partial(capacity.next_for, self.host, replace(self._offer, queues=queues), active)
            acts = lease.held(self.host, self.owner)
            run = self.database.call(state_machine.claim_next, self.host, self.owner, choose, acts)
            if run is None:
                return
            failpoints.point("claimed")
            self._begin(run)

    def _open_queues(self) -> tuple[str, ...]:
        """Those to claim from: while the engine is away none, and after a while what only this host serves."""
        if self._watch.answers():
            return self.queues
        return self.database.call(self._watch.only_here) if self._watch.is_away_for_long() else ()

    def _begin(self, run: Run) -> None:
        if run.claimed_at:
            waited = max(0.0, (run.claimed_at - run.created_at).total_seconds())  # a clock may be set back
            metrics.observe("cronium_run_phase_seconds", waited, phase="queued")
        try:
            spec = self.database.call(spec_of, run, self.instance, self.host)
        except SecretUnavailable as error:
            self.database.call(_refuse, run, str(error))
            return
        may_wait = not self._watch.is_away_for_long()
        self.supervisor.start(spec, RowHandler(run.pk, run.lease_epoch, self.database, self.writer, may_wait=may_wait))

    def _tell(self) -> dict[str, Any]:
        """The columns of the host's row, and with them what this host has to offer."""
        facts = self._facts.read()
        if "cpus" in facts:
            overcommit = settings.CONFIG.cpu_overcommit
            self._offer = Offer(self.queues, facts["cpus"], facts["memory_bytes"], overcommit)
        facts |= {"capacity": self.supervisor.capacity, "running": len(self.supervisor.active())}
        return facts | {"queues": list(self.queues), "counters": metrics.snapshot()}

    def _sweep(self) -> None:
        """Now and then: runs that nobody sees to, of this host or of one that is away."""
        if time.monotonic() - self._swept_at < SETTLE_SECONDS:
            return
        self._swept_at = time.monotonic()
        self.database.call(takeover.settle_abandoned)
        if self.acts:
            self._take_over()

    def _take_over(self) -> None:
        adopted = self.database.call(
            takeover.take_over, self.host, self.owner, self.instance, self.supervisor.active(), self._remove
        )
        failpoints.point("adopting")
        if resumed := sum(self._try_resume(run) for run in adopted):
            metrics.count("cronium_adoptions_total", resumed)
            log.warning("took over %d runs that an earlier process left behind", resumed)

    def _try_resume(self, run: Adopted) -> bool:
        """False for a run that could not be resumed: it holds up no other, and the next sweep tries it again."""
        try:
            return self._resume(run)
        except Exception:
            log.exception("run %s was not resumed", run.spec.run_id, extra={"run_id": run.spec.run_id})
            return False

    def _resume(self, run: Adopted) -> bool:
        """Go on with the run where its log ends; False where that log can't be read, so that the run was ended."""
        run_id = UUID(run.spec.run_id)
        try:
            run_log = self.database.call(RunLog.resume, run_id, run.epoch)
        except Refused as error:
            words = f"The stored log of this run can't be read, so its script was stopped. {error.message}"
            ending, acts = Ending(Status.ERRORED, "log_damaged", words), lease.held(self.host, self.owner)
            log.error("run %s: %s", run_id, words, extra={"run_id": str(run_id)})
            self.database.call(takeover.stop_and_end, run.spec, ending, self._remove, acts)
            return False
        stdout, stderr = Cursor(*run_log.stdout), Cursor(*run_log.stderr)
        handler = RowHandler(run_id, run.epoch, self.database, self.writer, run_log)
        rest = run.seconds_left, Dropped(*run_log.dropped), run_log.first_ns, run.begun_at, run.stopped
        self.supervisor.start(run.spec, handler, Resumption(stdout, stderr, *rest))
        return True

    def _remove(self, spec: RunSpec) -> None:
        """Stop a run's script at once; the reaper removes the rest."""
        with suppress(NotFound):
            state = self.engine.inspect(options.main_name(spec.run_id))
            if is_container_of(self.engine, spec, state):
                self.engine.remove_container(state.id)

    def _beat(self) -> None:
        if not (self.acts or self.database.call(self._acting.acquire)):
            return
        self.database.call(state_machine.renew_leases, self.owner)
        self._obey_cancels()
        if not self.database.call(self._acting.renew, self._tell()):
            self.acts = False
            metrics.count("cronium_lease_losses_total", kind="host")
            self.supervisor.drop(DROP_SECONDS)
            return
        row = self.database.call(Host.objects.get, name=self.host)
        changed = (row.unsafe, row.draining) != (self.unsafe, self.draining)
        self.unsafe, self.draining = row.unsafe, row.draining
        if not self.acts:  # it has just begun to, and knows by now what it has to offer
            self._swept_at = -SETTLE_SECONDS
            self.acts = changed = True
        if changed:  # the canary's word, or that of `manage.py doctor`, or an administrator's
            self._wake.set()

    def _obey_cancels(self) -> None:
        for run_id in self.database.call(self._cancelled):
            self.supervisor.stop(str(run_id))

    def _cancelled(self) -> list[UUID]:
        flagged = Run.objects.filter(status__in=ON_HOST, lease_owner=self.owner, cancel_requested_at__isnull=False)
        return list(flagged.values_list("pk", flat=True))
