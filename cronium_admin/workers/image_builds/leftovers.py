"""Removes images that builds left on this host: of killed workers, failed builds, and versions that were removed.

Only what this installation has made: its label, or its label on a committed container. Never forced: an image that a
container uses stays until the next round.
"""

import logging
from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q

from cronium_admin.image_builds.versions import find_ready_ids, is_building_on, select_kept_tags
from cronium_admin.images.custom import PREFIX
from cronium_admin.runs.models import ON_HOST, Run
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.image_builds.packing import parse_raw_name
from executor.docker.models import Image
from executor.docker.protocol import EngineLike
from executor.naming import LABEL_INSTANCE

log = logging.getLogger("cronium.builds")


def remove_leftovers(engine: EngineLike, database: DatabaseThreads, instance: str, host: str) -> list[str]:
    """The removed names and ids. Raises EngineError."""
    # The list first: a build that begins later has other images.
    raw = [name for image in engine.archives.list_labelled(LABEL_INSTANCE, instance) for name in image.references]
    made = engine.archives.list_labelled("cronium.origin", instance)
    if not raw and not made:
        return []
    unneeded = [*database.call(_find_raw, raw), *database.call(_find_made, made, host)]
    removed = [reference for reference in unneeded if engine.image_calls.remove(reference)]
    for reference in removed:
        log.info("removed the image %s, which a build had left", reference)
    return removed


def _find_raw(names: Iterable[str]) -> list[str]:
    parsed = {name: place for name in names if (place := parse_raw_name(name))}
    live = Q(pk__in=[UUID(run_id) for run_id, _ in parsed.values()], status__in=ON_HOST)
    active = {(str(pk), epoch) for pk, epoch in Run.objects.filter(live).values_list("pk", "lease_epoch")}
    return [name for name, place in parsed.items() if place not in active]


def _find_made(images: Iterable[Image], host: str) -> list[str]:
    tags = {name: place for image in images for name in image.references if (place := _parse_tag(name))}
    kept = select_kept_tags(list(tags.values()))
    unneeded = [name for name, place in tags.items() if place not in kept]
    unnamed = {image.id for image in images if not image.references}
    unnamed -= find_ready_ids(unnamed)  # another installation on this engine may have taken its name
    # An image has no name until it is tested.
    return unneeded if not unnamed or is_building_on(host) else [*unneeded, *sorted(unnamed)]


def _parse_tag(reference: str) -> tuple[int, str, int] | None:
    project, _, rest = reference.removeprefix(PREFIX).partition("/")
    name, _, number = rest.partition(":")
    if not reference.startswith(PREFIX) or not (project.isdecimal() and number.isdecimal() and name):
        return None
    return int(project), name, int(number)
