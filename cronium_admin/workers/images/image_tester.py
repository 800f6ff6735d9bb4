"""Makes requested tests of images: one ordinary, hardened run on this host."""

import logging
import threading
from dataclasses import asdict
from typing import Any

from django.conf import settings

from cronium_admin.images.image_tests import store_test, take_test
from cronium_admin.images.models import ImageTest
from cronium_admin.images.reference import canonicalize_reference
from cronium_admin.registries.models import PullPolicy
from cronium_admin.registries.rules import resolve_policy
from cronium_admin.runtime_api.helpers import load_helpers
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images.puller import ImagePuller, Waiter
from cronium_admin.workers.instance import get_instance_id
from cronium_admin.workers.run_spec import SIDECAR_IMAGE
from executor.checks.smoke import SmokeSettings, run_smoke_test
from executor.docker.errors import EngineError, ImageMissing
from executor.docker.protocol import EngineLike
from executor.sandbox.subnets import SubnetPool

log = logging.getLogger("cronium.images")


class ImageTester:
    """One test at a time. `cleared`: as of the canary, whose objects look like these."""

    def __init__(
        self,
        host: str,
        engine: EngineLike,
        subnets: SubnetPool,
        database: DatabaseThreads,
        puller: ImagePuller,
        cleared: threading.Event,
        closing: threading.Event,
    ) -> None:
        self._host, self._engine, self._subnets, self._database = host, engine, subnets, database
        self._puller, self._cleared, self._closing = puller, cleared, closing
        self._lock = threading.Lock()

    def make_requested_test(self) -> None:
        """Returns when the test has ended; at once while another one is made, or if none is requested."""
        if not self._cleared.is_set() or not self._lock.acquire(blocking=False):
            return
        try:
            if test := self._database.call(take_test, self._host):
                checks, message = self._make_test(test)
                if not self._closing.is_set():  # else the page says that the host did not answer
                    self._database.call(store_test, test, checks, message)
        finally:
            self._lock.release()

    def _make_test(self, test: ImageTest) -> tuple[list[dict[str, Any]], str]:
        try:
            self._provide(test.reference)
            smoke = SmokeSettings(
                self._database.call(get_instance_id),
                self._host,
                SIDECAR_IMAGE,
                self._subnets,
                settings.CONFIG.sandbox_network == "joined",
                load_helpers(),
            )
            is_stopped = self._closing.is_set
            result = run_smoke_test(self._engine, test.reference, test.language, (), smoke, is_stopped)
        except EngineError as error:
            return [], str(error)
        return [asdict(check) for check in result.checks], result.message

    def _provide(self, reference: str) -> None:
        if self._engine.image_calls.describe(reference) is not None:
            return
        rule = self._database.call(resolve_policy, reference)
        if rule.registry is None or rule.policy == PullPolicy.NEVER:
            raise ImageMissing(f"{reference} is not on {self._host}, and no registry may be asked for it.")
        waiter = Waiter(lambda: not self._closing.is_set(), lambda kind, text: None, lambda text: None)
        self._puller.pull(canonicalize_reference(reference), rule.registry, waiter)
