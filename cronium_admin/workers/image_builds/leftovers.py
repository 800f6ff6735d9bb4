"""Removes images that builds left on this host: of killed workers, failed builds, and versions that were removed.

Only what this installation has made: its label, or its label on a committed container. Never forced: an image that a
container uses stays until the next round.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q

from cronium_admin.image_builds.retention import TagVerdict, explain_tags, restore_named
from cronium_admin.image_builds.versions import find_ready_ids, is_building_on
from cronium_admin.images.custom import PREFIX
from cronium_admin.images.disk import record_removed
from cronium_admin.runs.models import ON_HOST, Run
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.image_builds.packing import parse_raw_name
from executor.docker.models import Image
from executor.docker.protocol import EngineLike
from executor.naming import LABEL_INSTANCE

log = logging.getLogger("cronium.builds")


@dataclass(frozen=True)
class PresentVersion:
    """A name of a custom image on this engine, and whether it stays."""

    tag: str
    image: Image
    verdict: TagVerdict

    @property
    def as_json(self) -> dict[str, Any]:
        verdict = self.verdict
        return {"reference": self.tag, "size": self.image.size, "why": verdict.why, "removable": not verdict.is_needed}


def remove_leftovers(engine: EngineLike, database: DatabaseThreads, instance: str, host: str) -> list[str]:
    """The removed names and ids. Raises EngineError."""
    # The list first: a build that begins later has other images.
    raw = [name for image in engine.archives.list_labelled(LABEL_INSTANCE, instance) for name in image.references]
    made = engine.archives.list_labelled("cronium.origin", instance)
    database.call(restore_named)
    if not raw and not made:
        return []
    unneeded = database.call(_find_raw, raw)
    # What a build has loaded has no name until it is tested, and may be the image of an older version.
    is_quiet = not database.call(is_building_on, host)
    versions = database.call(explain_present, made) if is_quiet else []
    unneeded += database.call(_find_unnamed, made) if is_quiet else []
    removed = [reference for reference in unneeded if engine.image_calls.remove(reference)]
    for reference in removed:
        log.info("removed the image %s, which a build had left", reference)
    return removed + _remove_versions(engine, database, host, versions)


def _remove_versions(
    engine: EngineLike, database: DatabaseThreads, host: str, versions: Iterable[PresentVersion]
) -> list[str]:
    due = [version for version in versions if version.verdict.is_due]
    removed = [version for version in due if engine.image_calls.remove(version.tag)]
    for version in removed:
        log.info("removed the image %s: %s", version.tag, version.verdict.why)
    if removed:
        database.call(record_removed, host, [version.as_json for version in removed])
    return [version.tag for version in removed]


def explain_present(images: Iterable[Image]) -> list[PresentVersion]:
    """Of images with this installation's label: their names as custom images, by project, name and number."""
    tags = {place: (name, image) for image in images for name in image.references if (place := _parse_tag(name))}
    verdicts = explain_tags(list(tags))
    return [PresentVersion(*tags[place], verdicts[place]) for place in sorted(tags)]


def _find_raw(names: Iterable[str]) -> list[str]:
    parsed = {name: place for name in names if (place := parse_raw_name(name))}
    live = Q(pk__in=[UUID(run_id) for run_id, _ in parsed.values()], status__in=ON_HOST)
    active = {(str(pk), epoch) for pk, epoch in Run.objects.filter(live).values_list("pk", "lease_epoch")}
    return [name for name, place in parsed.items() if place not in active]


def _find_unnamed(images: Iterable[Image]) -> list[str]:
    unnamed = {image.id for image in images if not image.references}
    # Another installation on this engine may have taken the name of a version that is ready.
    return sorted(unnamed - find_ready_ids(unnamed)) if unnamed else []


def _parse_tag(reference: str) -> tuple[int, str, int] | None:
    project, _, rest = reference.removeprefix(PREFIX).partition("/")
    name, _, number = rest.partition(":")
    if not reference.startswith(PREFIX) or not (project.isdecimal() and number.isdecimal() and name):
        return None
    return int(project), name, int(number)
