"""The isolation check of a host: builds the canary, stores its verdict in the host's row, and runs it daily."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict

from django.conf import settings

from cronium_admin.core.database.clock import Now
from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.images.models import Language
from cronium_admin.images.resolution import resolve_image
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.workers.run_spec import SIDECAR_IMAGE
from executor.checks.isolation import Canary, Probe
from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike
from executor.sandbox.subnets import SubnetPool

log = logging.getLogger("cronium.host")
DELAY = 3.0  # runs that wait for the start come first
SECONDS, RETRY_SECONDS = 24 * 3600.0, 600.0  # after a verdict; after a check without verdict
STANDBY_SECONDS = 5.0  # while this process is a standby


def make_canary(engine: EngineLike, host: str, subnets: SubnetPool | None = None) -> Canary:
    return Canary(
        engine,
        (resolve_image(Language.PYTHON).reference, SIDECAR_IMAGE),
        SIDECAR_IMAGE,
        get_instance_id(),
        host,
        subnets or SubnetPool(settings.CONFIG.subnet_pool),
        settings.CONFIG.sandbox_network == "joined",
    )


def store_verdict(host: str, probes: Sequence[Probe]) -> bool:
    """Store the verdict in the host's row. Returns True if any isolation probe escaped: the host is unsafe."""
    unsafe = any(probe.held is False for probe in probes)
    verdict = {"canary": [asdict(probe) for probe in probes], "canary_at": Now(), "unsafe": unsafe}
    Host.objects.update_or_create(name=host, defaults=verdict)
    return unsafe


def is_unsafe(host: str) -> bool:
    return Host.objects.filter(name=host, unsafe=True).exists()


class CanaryTask(PeriodicTask):
    """Checks the engine's isolation soon after this process becomes leader, and then daily. Runs do not wait for it.

    `cleared` is set once the leftovers of an earlier process's canary are removed.
    """

    def __init__(
        self,
        engine: EngineLike,
        host: str,
        subnets: SubnetPool,
        database: DatabaseThreads,
        is_leader: Callable[[], bool],
        cleared: threading.Event,
        closing: threading.Event,
    ) -> None:
        super().__init__("canary", self.run_once, DELAY, closing)
        self._engine, self._host, self._subnets, self._database = engine, host, subnets, database
        self._is_leader, self._cleared = is_leader, cleared
        self._canary: Canary | None = None

    def cancel(self) -> None:
        if self._canary:
            self._canary.stop()

    def run_once(self) -> float:
        if not self._cleared.is_set():  # else garbage collection would remove the canary's objects
            return STANDBY_SECONDS
        return SECONDS if self.check_isolation() else RETRY_SECONDS

    def check_isolation(self) -> bool:
        """False without a verdict: the stored verdict stays. Does nothing on a standby."""
        if not self._is_leader():
            return False
        try:
            self._canary = self._database.call(make_canary, self._engine, self._host, self._subnets)
            if self.stop_event.is_set():
                return False
            probes = self._canary.run()
            if not self._is_leader():  # any longer
                return False
            unsafe = self._database.call(store_verdict, self._host, probes)
        except Exception as error:
            if not self.stop_event.is_set():
                log.warning("the isolation check did not run: %s", error, exc_info=not isinstance(error, EngineError))
            return False
        if unsafe:
            through = ", ".join(probe.name for probe in probes if probe.held is False)
            log.error("this host is unsafe: the isolation check failed at %s; run `manage.py doctor`", through)
        return True
