"""The SBOM of an own image that is on the engine, made of its layers."""

import docker

from cronium_admin.images.archive.tar_reader import ArchiveError
from cronium_admin.images.build import BuiltImage
from cronium_admin.images.engine_archives import open_archive_file, save_image
from cronium_admin.images.models import OwnImage
from cronium_admin.images.own_images import store_sbom
from cronium_admin.images.recipes import LABEL_FAMILY, LABEL_IMAGE, LABEL_LANGUAGE, LABEL_VERSION, LINTER
from cronium_admin.images.sbom import build_sbom
from cronium_admin.ops.image_commands.output import Report


def make_sbom(client: docker.APIClient, reference: str, labels: dict[str, str]) -> bytes:
    """Takes seconds. `labels`: those of the own image. Raises ArchiveError if its packages can't be listed."""
    try:
        with open_archive_file() as archive:
            save_image(client, reference, archive)
            return build_sbom(archive, name=_get_built_name(labels), version=labels.get(LABEL_VERSION, ""))
    except OSError as error:  # no space, or a folder that can't be written
        raise ArchiveError(str(error)) from error


def store_missing_sboms(client: docker.APIClient, images: list[BuiltImage], report: Report) -> None:
    """Of images that were on the engine before the database, or that come from a registry. A list that can't be made
    is reported, and stops nothing."""
    missing = OwnImage.objects.filter(sbom_digest="", reference__in=[image.reference for image in images])
    for number, reference in enumerate(sorted(missing.values_list("reference", flat=True))):
        labels = client.inspect_image(reference)["Config"].get("Labels") or {}  # type: ignore[no-untyped-call]
        if LABEL_IMAGE not in labels:
            continue
        report(reference, number, len(images), "listing its packages")
        try:
            store_sbom(reference, make_sbom(client, reference, labels))
        except ArchiveError as error:
            report(reference, number, len(images), f"its packages can't be listed: {error}")


def _get_built_name(labels: dict[str, str]) -> str:
    """The name at the time of the build: a registry's copy has another."""
    if labels[LABEL_IMAGE] == "runtime-api":
        return "cronium/runtime-api:latest"
    if labels[LABEL_IMAGE] == LINTER.name:
        return f"cronium/linter:{labels.get(LABEL_FAMILY)}"
    return f"cronium/runner:{labels.get(LABEL_LANGUAGE)}-{labels.get(LABEL_FAMILY)}"
