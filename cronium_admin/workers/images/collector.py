"""Garbage collection of the images that this host has pulled: between two watermarks of the engine's disk.

Removes names, one at a time and never by force, of images that nothing needs; an engine keeps an image that a container
uses. Never prunes: an image that was pulled by digest would count as unused. Versions of custom images that nothing
needs go at any time: this task ends them, and `image_builds.leftovers` removes their images soon after.
"""

import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

from cronium_admin.core.periodic import PeriodicTask
from cronium_admin.image_builds.retention import remove_unneeded
from cronium_admin.images import disk
from cronium_admin.images.models import PulledImage
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.image_builds.leftovers import PresentVersion, explain_present
from cronium_admin.workers.images import retention
from cronium_admin.workers.images.puller import ImagePuller
from cronium_admin.workers.images.retention import Verdict
from executor.docker.errors import EngineError
from executor.docker.protocol import EngineLike

log = logging.getLogger("cronium.images")
SECONDS = 600.0
URGENT_PERCENT = 95
IN_CONTAINER = Path("/.dockerenv")


def measure_disk(engine: EngineLike) -> tuple[int, int] | None:
    """Total and used bytes of the disk with the engine's images; None if it is not on this machine.

    In a container of that engine the root file system is on the same disk.
    """
    folder = Path(engine.image_folder)
    if engine.is_local and engine.image_folder and folder.exists():
        usage = shutil.disk_usage(folder)
    elif engine.is_local and IN_CONTAINER.exists():
        usage = shutil.disk_usage("/")
    else:
        return None
    # As df counts: the blocks that are reserved for root are neither used nor free.
    return usage.used + usage.free, usage.used


@dataclass(frozen=True)
class DiskReport:
    """`measured` as `measure_disk` returns it; `removed` and `note` as in `HostDisk`."""

    verdicts: list[Verdict]
    versions: list[PresentVersion]
    measured: tuple[int, int] | None
    removed: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""

    def describe_disk(self) -> str:
        percent, config = _compute_percent(self.measured), settings.CONFIG
        if percent is None:
            return "the disk of the engine can't be measured from here, so nothing is removed."
        if not config.image_disk_high:
            return f"the disk is {percent} % full; CRONIUM_IMAGE_DISK_HIGH is 0, so nothing is removed."
        return f"the disk is {percent} % full; a clean-up begins above {config.image_disk_high} %."


class ImageCollector(PeriodicTask):
    """Only the leader of the host removes."""

    def __init__(
        self,
        host: str,
        instance: str,
        engine: EngineLike,
        database: DatabaseThreads,
        puller: ImagePuller,
        queues: tuple[str, ...],
        is_leader: Callable[[], bool],
        closing: threading.Event,
    ) -> None:
        super().__init__("image-gc", self.run_once, 20.0, closing)
        self._host, self._instance, self._engine, self._database = host, instance, engine, database
        self._puller = puller
        self._queues, self._is_leader, self._closing = queues, is_leader, closing

    def run_once(self) -> float:
        if self._is_leader():
            try:
                self.collect()
            except EngineError as error:  # the heartbeat reports an engine that is away
                log.info("the engine's disk could not be measured: %s", error)
        return SECONDS

    def report(self) -> DiskReport:
        """Measure and decide only."""
        measured = measure_disk(self._engine)
        percent = _compute_percent(measured)
        verdicts = self._choose(is_urgent=percent is not None and percent > URGENT_PERCENT)
        return DiskReport(verdicts, self._explain_versions(), measured)

    def collect(self) -> DiskReport:
        """Measure, decide, remove, store the report."""
        if not self._database.call(retention.is_building):
            for tag in self._database.call(remove_unneeded):
                log.info("the version %s is removed: newer ones are ready, and nothing names it", tag)
        measured = measure_disk(self._engine)
        percent = _compute_percent(measured)
        verdicts = self._choose(is_urgent=percent is not None and percent > URGENT_PERCENT)
        removed: list[dict[str, Any]] = []
        note = ""
        high = settings.CONFIG.image_disk_high
        if percent is not None and high and percent > high:
            note = self._find_pause_reason()
            removed = [] if note else self._remove_until_low(verdicts)
            if removed:
                verdicts, measured = self._choose(is_urgent=False), measure_disk(self._engine)
            if not note and (_compute_percent(measured) or 0) > settings.CONFIG.image_disk_low:
                note = "The disk is still full, and every other pulled image is needed. See why each one stays."
        total, used = measured or (None, None)
        versions = self._explain_versions()
        rows = [*(version.as_json for version in versions), *(verdict.as_json for verdict in verdicts)]
        self._database.call(disk.store_disk, self._host, total, used, rows, removed, note)
        return DiskReport(verdicts, versions, measured, removed, note)

    def _explain_versions(self) -> list[PresentVersion]:
        made = self._engine.archives.list_labelled("cronium.origin", self._instance)
        return self._database.call(explain_present, made) if made else []

    def _choose(self, *, is_urgent: bool) -> list[Verdict]:
        keep = timedelta(days=settings.CONFIG.image_unused_days)
        images = self._database.call(retention.list_present, self._host)
        uses = self._database.call(retention.find_uses, self._queues)
        return retention.choose_removable(
            images, uses, self._database.call(retention.read_now), keep, is_urgent=is_urgent
        )

    def _find_pause_reason(self) -> str:
        if self._puller.count_pulls():
            return "Nothing is removed during a pull."
        if self._database.call(retention.is_building):
            return "Nothing is removed during the build of an image."
        return ""

    def _remove_until_low(self, verdicts: list[Verdict]) -> list[dict[str, Any]]:
        removed = []
        kept_names = {name for verdict in verdicts if not verdict.is_removable for name in verdict.image.names}
        for verdict in (verdict for verdict in verdicts if verdict.is_removable):
            percent = _compute_percent(measure_disk(self._engine))
            if self._closing.is_set() or percent is None or percent <= settings.CONFIG.image_disk_low:
                break
            if self._find_new_use(verdict):  # a run may have been launched since the decision
                continue
            if self._remove(verdict, kept_names):
                removed.append({**verdict.as_json, "why": f"the disk was {percent} % full; {verdict.why}"})
        return removed

    def _find_new_use(self, verdict: Verdict) -> bool:
        uses = self._database.call(retention.find_uses, self._queues)
        image = verdict.image
        return any(uses.get(name) for name in (image.reference, image.digest, image.image_id))

    def _remove(self, verdict: Verdict, kept_names: set[str]) -> bool:
        for name in verdict.image.names:
            if name not in kept_names and not self._engine.image_calls.remove(name):
                log.info("the image %s stays: a container uses it", verdict.image.reference)
                return False
        self._database.call(_forget_image, self._host, verdict.image.reference)
        log.info("removed the image %s: %s", verdict.image.reference, verdict.why)
        return True


def _forget_image(host: str, reference: str) -> None:
    PulledImage.objects.filter(host=host, reference=reference).delete()


def _compute_percent(measured: tuple[int, int] | None) -> int | None:
    return None if measured is None or not measured[0] else round(100 * measured[1] / measured[0])
