"""The last steps of each own image: saved, its packages listed, rewritten in the normal form, and loaded again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import docker

from cronium_admin.images.engine_archives import load_image, open_archive_file, save_image
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.normalize import ArchiveError, ImageConfig, normalize_archive
from cronium_admin.images.recipes import LABEL_CREATED, LABEL_SBOM, LABEL_VERSION
from cronium_admin.images.sbom import build_sbom

# 1 January 2025, for all that the build wrote. Files of packages keep their times if they are older.
DEFAULT_EPOCH = 1_735_689_600


@dataclass(frozen=True)
class FinishedImage:
    """`image_id` as the engine reports it. The label `cronium.sbom` has the digest of `sbom`."""

    image_id: str
    sbom: bytes


def get_epoch() -> int:
    """Seconds since 1970, for all times in images: SOURCE_DATE_EPOCH, or a fixed day."""
    value = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not value:
        return DEFAULT_EPOCH
    if not (value.isascii() and value.isdecimal() and len(value) < 12):
        raise ImageBuildError(f"SOURCE_DATE_EPOCH must be seconds since 1970, not {value[:40]!r}.")
    return int(value)


def finish_image(
    client: docker.APIClient, raw_id: str, *, reference: str, labels: Mapping[str, str], keep_layers: Collection[str]
) -> FinishedImage:
    """Brings the builder's image `raw_id` into the normal form, on the same engine and without a name.

    `labels` replace those of the image. Raises ImageBuildError.
    """
    config = client.inspect_image(raw_id)["Config"]  # type: ignore[no-untyped-call]
    labels = {**labels, LABEL_CREATED: datetime.fromtimestamp(get_epoch(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    with open_archive_file() as saved, open_archive_file() as normal:
        save_image(client, raw_id, saved)
        try:
            sbom = build_sbom(saved, name=reference, version=labels.get(LABEL_VERSION, ""))
            chosen = ImageConfig.from_engine(config, {**labels, LABEL_SBOM: compute_digest(sbom)})
            image = normalize_archive(saved, normal, keep_layers=keep_layers, config=chosen, epoch=get_epoch())
        except ArchiveError as error:
            raise ImageBuildError(f"{reference} was built, but its archive is unusable: {error}") from error
        return FinishedImage(load_image(client, normal, image), sbom)


def compute_digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
