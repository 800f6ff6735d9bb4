"""Pure: what an image brings into its containers, and which of its volumes a memory file system has to cover.

An engine gives each declared volume a folder on the host's disk, without a bound and whatever the root is. A memory
file system at the same place takes the volume's place.
"""

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from executor.docker.errors import ImageUnusable

MAX_VOLUMES = 32
# A run needs what the image has there, or the engine itself puts something there.
NEEDED = frozenset(
    [
        "/",
        "/bin",
        "/dev",
        "/etc",
        "/lib",
        "/lib32",
        "/lib64",
        "/libx32",
        "/proc",
        "/sbin",
        "/sys",
        "/usr",
        "/usr/bin",
        "/usr/lib",
        "/usr/sbin",
    ]
)
_KERNEL = ("/dev/", "/proc/", "/sys/")
_IN_MEMORY = ("/dev/shm", "/dev/mqueue")  # noqa: S108 - inside the container


@dataclass(frozen=True)
class ImageFacts:
    """An image as far as it matters to a sandbox."""

    id: str  # the digest of its configuration, sha256:...
    volumes: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()  # their names
    labels: Mapping[str, str] = field(default_factory=dict)


NO_IMAGE = ImageFacts("")


def parse_image_facts(told: Mapping[str, Any]) -> ImageFacts:
    """From the answer to an inspect of an image."""
    config = told.get("Config") or {}
    return ImageFacts(
        id=str(told["Id"]),
        volumes=tuple(config.get("Volumes") or ()),
        variables=tuple(pair.partition("=")[0] for pair in config.get("Env") or ()),
        labels=dict(config.get("Labels") or {}),
    )


def paths_to_cover(image: str, declared: Iterable[str]) -> list[str]:
    """The declared volumes' paths, normalized and in order; ImageUnusable when one of them can't be covered."""
    paths = sorted({normalize_path(path) for path in declared})
    for path in paths:
        if not path.startswith("/") or path in NEEDED or (path.startswith(_KERNEL) and path not in _IN_MEMORY):
            raise ImageUnusable(
                f"The image {image} declares a volume at {path[:200]!r}, which a run can't keep in memory. Build the "
                "image without that VOLUME, or with one at a folder of its own such as /data."
            )
    if len(paths) > MAX_VOLUMES:
        raise ImageUnusable(f"The image {image} declares {len(paths)} volumes; a run may have {MAX_VOLUMES} at most.")
    return paths


def normalize_path(path: str) -> str:
    """As an engine understands it; POSIX lets a path begin with two slashes."""
    clean = posixpath.normpath(path)
    return "/" + clean.lstrip("/") if clean.startswith("/") else clean
