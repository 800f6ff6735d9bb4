"""The stored facts about own images: what was built and when, the SBOM, and the updates since."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import docker
import docker.errors
import requests
import zstandard

from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.images.models import BuiltImage, Language, OwnImage
from cronium_admin.images.updates import UpdateCheck, find_updates

if TYPE_CHECKING:  # the builder's libraries take long to import
    from cronium_admin.images.build import BuiltImage as Built

UPDATES_AGE = timedelta(days=1)
_MAX_SBOM = 64 << 20


def record_built_images(images: "Iterable[Built]", version: str) -> None:
    """Stores what a build returned. Images that were up to date keep their stored facts."""
    for image in images:
        if image.name in Language.values:
            _record_default(image)
        stored = OwnImage.objects.filter(reference=image.reference).values_list("image_id", flat=True).first()
        if stored != image.image_id:
            facts = {"image_id": image.image_id, "base": image.base, "size": image.size, "version": version}
            unknown = {"updates": None, "updates_checked_at": None, "updates_problem": ""}
            document = {"sbom_digest": "", "sbom": b""}
            defaults = {**facts, **unknown, **document, "built_at": _find_build_time(image)}
            OwnImage.objects.update_or_create(reference=image.reference, defaults=defaults)
        if image.sbom:
            store_sbom(image.reference, image.sbom)


def _record_default(image: "Built") -> None:
    values = {"reference": image.reference, "built_at": _find_build_time(image)}
    BuiltImage.objects.update_or_create(language=image.name, defaults=values)


def _find_build_time(image: "Built") -> datetime:
    # Of an image that was there before this database: its file times are fixed, so the time of its name is the nearest.
    now = database_now()
    return min(image.tagged_at, now) if image.skipped and image.tagged_at else now


def store_sbom(reference: str, sbom: bytes) -> None:
    values = {"sbom": zstandard.compress(sbom), "sbom_digest": f"sha256:{hashlib.sha256(sbom).hexdigest()}"}
    OwnImage.objects.filter(reference=reference).update(**values)


def read_sbom(image: OwnImage) -> bytes:
    """The document; empty if none is stored."""
    stored = bytes(image.sbom)
    return zstandard.decompress(stored, max_output_size=_MAX_SBOM) if stored else b""


def find_outdated_checks() -> list[OwnImage]:
    """The images whose updates were not looked for within a day."""
    checked = OwnImage.objects.filter(updates_checked_at__gt=Now() - UPDATES_AGE)
    return list(OwnImage.objects.exclude(pk__in=checked.values("pk")).order_by("reference").defer("sbom"))


def search_updates(client: docker.APIClient, image: OwnImage) -> UpdateCheck | None:
    """Takes about ten seconds and no database. None if the image is not on this engine."""
    try:
        return find_updates(client, image.image_id)
    except docker.errors.ImageNotFound:
        return None
    except (docker.errors.DockerException, requests.RequestException) as error:
        return UpdateCheck(problem=f"the container could not run: {error}")


def store_updates(image: OwnImage, check: UpdateCheck) -> None:
    image.updates = None if check.problem else [asdict(update) for update in check.updates]
    image.updates_problem, image.updates_checked_at = check.problem.replace("\0", "")[:300], database_now()
    # Not of an image that was rebuilt in the meantime.
    OwnImage.objects.filter(pk=image.pk, image_id=image.image_id).update(
        updates=image.updates,
        updates_problem=image.updates_problem,
        updates_checked_at=image.updates_checked_at,
    )


def describe_updates(image: OwnImage) -> str:
    """Such as "3 updates, 1 of them security"."""
    if image.updates_checked_at is None:
        return "updates not looked for yet"
    if image.updates is None:
        return f"updates unknown: {image.updates_problem}"
    count, security = len(image.updates), count_security_updates(image)
    if not count:
        return "no updates since"
    noun = "update" if count == 1 else "updates"
    return f"{count} {noun} since" + (f", {security} of them security" if security else "")


def count_security_updates(image: OwnImage) -> int:
    return sum(bool(update["is_security"]) for update in image.updates or ())
