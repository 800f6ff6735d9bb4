"""Pure: an image's declared volumes, variables and labels, and which volumes a tmpfs must cover.

For each declared volume the engine creates an unlimited folder on the host's disk, even with a read-only root. A tmpfs
at the same path replaces it.
"""

import posixpath
from collections.abc import Iterable

from executor.docker.errors import ImageUnusable

MAX_VOLUMES = 32
# The run needs the image's files at these paths, or the engine mounts something there.
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


def find_paths_to_cover(image: str, declared: Iterable[str]) -> list[str]:
    """The paths of the declared volumes, normalized and sorted; ImageUnusable when a tmpfs cannot cover one."""
    paths = sorted({normalize_path(path) for path in declared})
    for path in paths:
        if not path.startswith("/") or path in NEEDED or (path.startswith(_KERNEL) and path not in _IN_MEMORY):
            raise ImageUnusable(
                f"The image {image} declares a volume at {path[:200]!r}, which a run cannot keep in memory. Build the "
                "image without that VOLUME, or with a separate folder such as /data."
            )
    if len(paths) > MAX_VOLUMES:
        raise ImageUnusable(f"The image {image} declares {len(paths)} volumes; a run may have {MAX_VOLUMES} at most.")
    return paths


def normalize_path(path: str) -> str:
    clean = posixpath.normpath(path)
    return "/" + clean.lstrip("/") if clean.startswith("/") else clean
