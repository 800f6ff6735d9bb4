"""From a stopped container to the archive of its image: commit, save, normalise, and list its packages."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, BinaryIO, cast
from uuid import UUID

from django.conf import settings

from cronium_admin.images.normalize import ArchiveError, ImageConfig, normalize_archive
from cronium_admin.images.reference import RAW
from cronium_admin.images.sbom import build_sbom, list_packages
from executor import failpoints
from executor.docker.errors import EngineError, ImageMissing
from executor.docker.protocol import EngineLike
from executor.spec import MB

DISK_FOLDER = "/var/tmp"  # noqa: S108 - /tmp is often a small memory file system
_MAX_HEADERS = 512 * MB
EARLIEST = 1_577_836_800  # 2020: the times of an image whose base has none


class ImageRefused(EngineError):
    """What the container has on its disk can't become an image."""

    reason = "build_image_refused"


@dataclass(frozen=True)
class PackedImage:
    """An image in an archive that an engine can load. `config_digest` is its id in the engine's own store,
    `manifest_digest` in containerd's store."""

    archive: IO[bytes] = field(repr=False)
    base_id: str
    config_digest: str
    manifest_digest: str
    size: int
    sbom: str = field(repr=False)
    packages: Sequence[Sequence[str]] = field(repr=False)

    @property
    def image_ids(self) -> tuple[str, ...]:
        return (self.config_digest, self.manifest_digest)


def format_raw_name(run_id: UUID, epoch: int) -> str:
    return f"{RAW}:{run_id}-{epoch}"


def parse_raw_name(reference: str) -> tuple[str, int] | None:
    """Run and epoch of a committed container; None for another name."""
    name, _, tag = reference.rpartition(":")
    run_id, _, epoch = tag.rpartition("-")
    return (run_id, int(epoch)) if name == RAW and epoch.isdecimal() else None


@contextmanager
def pack_image(
    engine: EngineLike,
    container: str,
    raw: str,
    base: str,
    configure: Callable[[Mapping[str, Any]], ImageConfig],
    note: Callable[[str], None],
) -> Iterator[PackedImage]:
    """Commits `container` as `raw`, which the caller removes. Raises EngineError; OSError without space here.

    The base is the image of the container: its layers stay as they are, so that images share them. `configure`: from
    the base's field `Config` to the settings of the image.
    """
    archives = engine.archives
    base_id = engine.inspect(container).image_id
    about = archives.read_image(base_id or base)
    if about is None:
        raise ImageMissing(f"The base {base} was removed from the host during the build.")
    engine.image_calls.remove(raw)
    name, _, tag = raw.rpartition(":")
    archives.commit(container, name, tag)
    failpoints.hit("image-committed")
    folder = DISK_FOLDER if os.access(DISK_FOLDER, os.W_OK) else None
    with tempfile.TemporaryFile(dir=folder) as archive:
        with tempfile.TemporaryFile(dir=folder) as saved:
            archives.save(raw, saved)
            saved.seek(0)
            note("Times and logs are removed from its files, and its packages are listed")
            config = configure(about.get("Config") or {})
            image = _normalize(cast(BinaryIO, saved), cast(BinaryIO, archive), about, config)
        archive.seek(0)
        sbom = _list_packages(cast(BinaryIO, archive), config.labels["org.opencontainers.image.title"])
        archive.seek(0)
        failpoints.hit("image-normalized")
        yield PackedImage(
            archive=archive,
            base_id=base_id,
            config_digest=image.config_digest,
            manifest_digest=image.manifest_digest,
            size=image.size,
            sbom=sbom.decode(),
            packages=[list(package) for package in list_packages(sbom)],
        )


def _normalize(saved: BinaryIO, archive: BinaryIO, about: Mapping[str, Any], config: ImageConfig) -> Any:
    layers = (about.get("RootFS") or {}).get("Layers") or ()
    try:
        return normalize_archive(
            saved,
            archive,
            keep_layers=frozenset(layers),
            config=config,
            epoch=_read_epoch(about),
            # What the disk limit allows, with the headers of a layer's files.
            max_layer=settings.CONFIG.build_disk_mb * MB + _MAX_HEADERS,
        )
    except ArchiveError as error:
        raise ImageRefused(f"The engine's archive of the image can't be used: {error}") from error


def _list_packages(archive: BinaryIO, name: str) -> bytes:
    try:
        return build_sbom(archive, name=name, version="")
    except ArchiveError as error:
        raise ImageRefused(f"The packages of the image can't be listed: {error}") from error


def _read_epoch(about: Mapping[str, Any]) -> int:
    # That of the base: the same recipe on the same base gives the same image.
    try:
        return max(EARLIEST, int(datetime.fromisoformat(str(about.get("Created"))).timestamp()))
    except ValueError:
        return EARLIEST
