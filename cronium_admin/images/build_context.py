"""The build contexts in `images/`: packs them for the engine, and computes a digest that detects changes."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "images"

# Files of `images/base` that every context contains besides its own folder.
SHARED = ("setup.sh",)


def list_context_files(sources: Path, name: str) -> list[tuple[str, Path]]:
    """Pairs of path in the context and file, in a fixed order."""
    folder = sources / name
    files = [
        (path.relative_to(folder).as_posix(), path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return files + [(f"base/{shared}", sources / "base" / shared) for shared in SHARED]


def get_file_mode(path: Path) -> int:
    # Only the executable bit: the umask of a checkout must not change an image.
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def compute_sources_digest(sources: Path, name: str) -> str:
    """SHA-256 over the names, modes and contents of a context."""
    digest = hashlib.sha256()
    for arcname, path in list_context_files(sources, name):
        content = path.read_bytes()
        digest.update(f"{arcname}\0{get_file_mode(path):o}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def pack_context(sources: Path, name: str, programs: Mapping[str, bytes] | None = None) -> io.BytesIO:
    """A tar of the context; equal sources give equal bytes. `programs`: more files, by their path in the context."""
    files = [(arcname, path.read_bytes(), get_file_mode(path)) for arcname, path in list_context_files(sources, name)]
    files += [(arcname, content, 0o755) for arcname, content in sorted((programs or {}).items())]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for arcname, content, mode in files:
            info = tarfile.TarInfo(arcname)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    return buffer
