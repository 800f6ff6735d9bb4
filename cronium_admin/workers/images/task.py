"""The periodic task for this host's images: makes the checks, tests and pulls that users request, and prefetches."""

import logging
import threading
import time
from collections.abc import Callable

from django.db.models import Q

from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.images import pulls
from cronium_admin.images.reference import canonicalize_reference
from cronium_admin.images.resolution import resolve_image
from cronium_admin.jobs.models import Job
from cronium_admin.registries import checks
from cronium_admin.registries.addresses import is_local_name
from cronium_admin.registries.models import PullPolicy, Registry
from cronium_admin.registries.rules import resolve_policy
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images.puller import ImagePuller, Waiter
from cronium_admin.workers.images.registry_check import check_registry
from cronium_admin.workers.images.requests import CHECK, PULL, SCRIPT, TEST, find_requested_kinds
from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike

log = logging.getLogger("cronium.images")
TICK_SECONDS = 3.0  # a user waits; each call is a query
PREFETCH_SECONDS = 30.0
FIRST_BACKOFF, LONGEST_BACKOFF = 60.0, 3600.0  # after a failed prefetch; doubles
AT_ONCE = 2  # prefetches


class ImageTask(PeriodicTask):
    """Only the leader of the host acts. Pulls have threads of their own: a slow registry delays nothing else."""

    def __init__(
        self,
        host: str,
        engine: EngineLike,
        database: DatabaseThreads,
        puller: ImagePuller,
        make_requested_test: Callable[[], None],
        start_requested_checks: Callable[[], None],
        list_queues: Callable[[], tuple[str, ...]],
        is_leader: Callable[[], bool],
        closing: threading.Event,
    ) -> None:
        super().__init__("images", self.run_once, 1.0, closing)
        self._host, self._engine, self._database, self._puller = host, engine, database, puller
        self._make_requested_test, self._start_requested_checks = make_requested_test, start_requested_checks
        self._list_queues, self._is_leader, self._closing = list_queues, is_leader, closing
        self._prefetch_at = 0.0
        self._has_begun = False
        self._not_before: dict[str, float] = {}
        self._backoff: dict[str, float] = {}

    def run_once(self) -> float:
        if not self._is_leader():
            self._has_begun = False
            return TICK_SECONDS
        if not self._has_begun:
            self._database.call(pulls.end_interrupted, self._host)
            self._has_begun = True
        requested = self._database.call(find_requested_kinds, self._host)
        if CHECK in requested and (registry := self._database.call(checks.take_check, self._host)):
            self._start_thread(lambda: self._check(registry))
        if SCRIPT in requested:  # whose wake-up message was lost
            self._start_requested_checks()
        if TEST in requested:
            self._start_thread(self._make_requested_test)
        for reference in self._database.call(pulls.list_requested, self._host) if PULL in requested else ():
            self._pull_requested(reference)
        if time.monotonic() >= self._prefetch_at:
            self._prefetch_at = time.monotonic() + PREFETCH_SECONDS
            self._fetch_ahead()
        return TICK_SECONDS

    def _check(self, registry: Registry) -> None:
        results = check_registry(registry, self._engine, self._database)
        self._database.call(checks.store_check, registry, self._host, results)

    def _pull_requested(self, reference: str) -> None:
        rule = self._database.call(resolve_policy, reference)
        if rule.registry is None or rule.policy == PullPolicy.NEVER:
            text = "No registry may be asked for this image. Add its registry, or change its pull policy."
            self._database.call(pulls.store_failure, self._host, reference, "image_missing", text)
            return
        self._database.call(pulls.start_pull, self._host, reference)  # not requested any more
        self._start_pull(reference, rule.registry)

    def _fetch_ahead(self) -> None:
        """Pull the images that enabled jobs of this host's queues need and that it does not have."""
        for reference in self._database.call(list_needed_images, self._list_queues()):
            name = canonicalize_reference(reference)
            if self._puller.count_pulls() >= AT_ONCE or self._closing.is_set():
                return
            if self._not_before.get(name, 0.0) > time.monotonic() or self._puller.is_pulling(name):
                continue
            try:
                if self._engine.image_calls.describe(reference) is not None:
                    continue
            except EngineError:  # the heartbeat reports it
                return
            rule = self._database.call(resolve_policy, reference)
            if rule.registry is not None and rule.policy != PullPolicy.NEVER:
                self._start_pull(name, rule.registry)

    def _start_pull(self, reference: str, registry: Registry) -> None:
        self._start_thread(lambda: self._pull(reference, registry))

    def _pull(self, reference: str, registry: Registry) -> None:
        waiter = Waiter(lambda: not self._closing.is_set(), lambda kind, text: None, lambda text: None)
        try:
            self._puller.pull(reference, registry, waiter)
        except EngineError as error:
            pause = self._backoff[reference] = min(LONGEST_BACKOFF, 2 * self._backoff.get(reference, FIRST_BACKOFF / 2))
            self._not_before[reference] = time.monotonic() + pause
            log.info("%s was not pulled ahead; the next attempt is in %.0f s: %s", reference, pause, error)
        else:
            self._backoff.pop(reference, None)
            self._not_before.pop(reference, None)

    def _start_thread(self, action: Callable[[], None]) -> None:
        def run() -> None:
            try:
                action()
            except Exception:
                log.exception("an error in a thread for images")

        threading.Thread(target=run, name="images", daemon=True).start()


def list_needed_images(queues: tuple[str, ...]) -> list[str]:
    """The images of enabled jobs of these queues, without those that are made here."""
    jobs = Job.objects.filter(Q(enabled=True) & Q(queue__in=queues)).order_by("image", "language")
    pairs = set(jobs.values_list("image", "language").distinct())
    names = {image or resolve_image(language).reference for image, language in pairs}
    return sorted(name for name in names if not is_local_name(name))
