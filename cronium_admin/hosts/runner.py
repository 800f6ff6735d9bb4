"""The worker's side: claims waiting runs while slots are free, keeps leases and heartbeat, sweeps and reaps."""

import logging
import os
import secrets
import threading
from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Now

from cronium_admin.config import stored_secret
from cronium_admin.hosts import recovery
from cronium_admin.hosts.database import DatabaseThreads
from cronium_admin.hosts.handler import RowHandler
from cronium_admin.hosts.models import Host
from cronium_admin.hosts.specs import spec_of
from cronium_admin.logs.store import LogWriter
from cronium_admin.runs import transitions
from cronium_admin.runs.models import ON_HOST, Run, Status
from cronium_admin.runs.transitions import Ending
from cronium_admin.secrets.service import SecretUnavailable
from executor.engine import Engine
from executor.errors import EngineError
from executor.reaper import reap
from executor.subnets import SubnetPool
from executor.supervisor import Supervisor

log = logging.getLogger("cronium.host")
HEARTBEAT_SECONDS = 2.0
SWEEP_SECONDS = 5.0  # a lost "look at run X" costs this much delay
REAP_SECONDS = 30.0


def _refuse(run: Run, message: str) -> None:
    """End a claimed run that can't have its secrets. Nothing of it was started."""
    ending = Ending(Status.ERRORED, "secret_unavailable", message)
    transitions.finish(run.pk, run.lease_epoch, ending)
    transitions.mark_clean(run.pk)


class Runner:
    """One host's worker. `start` it, `look` when told to, `close` it."""

    def __init__(self, host: str, engine: Engine | None = None) -> None:
        self.host = host
        self.owner = f"{host}:{os.getpid()}:{secrets.token_hex(4)}"
        self.instance = stored_secret(settings.DATA_DIR, "instance_id", 9)
        self.engine = engine or Engine(settings.CONFIG.docker_host, pool=settings.CONFIG.max_concurrent)
        self.database = DatabaseThreads()
        self.writer = LogWriter()
        subnets = SubnetPool(settings.CONFIG.subnet_pool)
        self._wake = threading.Event()
        self._closing = threading.Event()
        self.supervisor = Supervisor(self.engine, settings.CONFIG.max_concurrent, subnets, self._wake.set)
        self._threads = [
            threading.Thread(target=self._loop, args=(step, every), name=step.__name__, daemon=True)
            for step, every in ((self._dispatch, SWEEP_SECONDS), (self._beat, HEARTBEAT_SECONDS))
        ]
        self._reaper = threading.Thread(target=self._reap_forever, name="reaper", daemon=True)

    def start(self) -> None:
        """Clear up what an earlier process left, then take work."""
        self._reap()
        self.database.call(recovery.settle, self.host, self.owner)
        for thread in (*self._threads, self._reaper):
            thread.start()

    def look(self, run_id: str) -> None:
        """Something about this run may have changed: obey its cancel flag, or claim what waits."""
        if run_id in self.supervisor.active():
            self._obey_cancels()
        else:
            self._wake.set()

    def close(self, seconds: float = 25.0) -> bool:
        """Take nothing new, stop what runs, leave an empty engine; False when that took too long."""
        self._closing.set()
        self._wake.set()
        done = self.supervisor.close(seconds)
        for thread in self._threads:
            thread.join(5)
        self.writer.close()
        self.database.close()
        return done

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
                self._closing.wait(every)

    def _dispatch(self) -> None:
        """Claim in order of waiting while a slot is free."""
        while self.supervisor.free() > 0:
            run = self.database.call(transitions.claim_next, self.host, self.owner)
            if run is None:
                return
            try:
                spec = self.database.call(spec_of, run, self.instance, self.host)
            except SecretUnavailable as error:
                self.database.call(_refuse, run, str(error))
                continue
            handler = RowHandler(run.pk, run.lease_epoch, self.database, self.writer)
            self.supervisor.start(spec, handler)

    def _beat(self) -> None:
        self.database.call(transitions.renew_leases, self.owner)
        self._obey_cancels()
        facts: dict[str, int | str] = {"capacity": self.supervisor.capacity, "running": len(self.supervisor.active())}
        facts |= self._engine_facts()
        self.database.call(Host.objects.update_or_create, name=self.host, defaults={**facts, "heartbeat_at": Now()})

    def _engine_facts(self) -> dict[str, str]:
        try:
            self.engine.ping()
            return {"engine_version": self.engine.version, "engine_error": ""}
        except EngineError as error:
            return {"engine_error": str(error)}

    def _obey_cancels(self) -> None:
        for run_id in self.database.call(self._cancelled):
            self.supervisor.stop(str(run_id))

    def _cancelled(self) -> list[UUID]:
        flagged = Run.objects.filter(status__in=ON_HOST, lease_owner=self.owner, cancel_requested_at__isnull=False)
        return list(flagged.values_list("pk", flat=True))

    def _reap(self) -> None:
        try:
            reap(self.engine, self.instance, self.host, self.supervisor.active())
        except EngineError as error:
            log.error("%s", error)

    def _reap_forever(self) -> None:
        while not self._closing.wait(REAP_SECONDS):
            self._reap()
