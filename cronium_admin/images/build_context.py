"""The build contexts in `images/`: what is sent to the engine, and a digest that says whether it changed."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "images"

# Every build gets these of `images/base` beside its own folder.
SHARED = ("setup.sh",)


def list_context_files(sources: Path, name: str) -> list[tuple[str, Path]]:
    """Path in the context and file, in a fixed order."""
    folder = sources / name
    own = [
        (path.relative_to(folder).as_posix(), path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return own + [(f"base/{shared}", sources / "base" / shared) for shared in SHARED]


def get_file_mode(path: Path) -> int:
    """Only the executable bit counts; a checkout's umask must not change an image."""
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def compute_sources_digest(sources: Path, name: str) -> str:
    """SHA-256 over the names, modes and contents of a context."""
    digest = hashlib.sha256()
    for arcname, path in list_context_files(sources, name):
        content = path.read_bytes()
        digest.update(f"{arcname}\0{get_file_mode(path):o}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def pack_context(sources: Path, name: str) -> io.BytesIO:
    """The context as a tar, the same bytes for the same sources."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for arcname, path in list_context_files(sources, name):
            content = path.read_bytes()
            info = tarfile.TarInfo(arcname)
            info.size, info.mode = len(content), get_file_mode(path)
            tar.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    return buffer
