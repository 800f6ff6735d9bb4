"""A small image for registries and engines, built in memory: the same arguments give the same digests."""

import gzip
import hashlib
import io
import json
import platform
import random
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def compute_digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class SmallImage:
    """`image_id` is the id in an engine with the old image store; `digest` is the manifest's."""

    manifest: bytes
    config: bytes
    layers: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        return compute_digest(self.manifest)

    @property
    def image_id(self) -> str:
        return compute_digest(self.config)

    @property
    def blobs(self) -> dict[str, bytes]:
        return {compute_digest(blob): blob for blob in (self.config, *self.layers)}


def build_small_image(version: str = "1", *, padding: int = 0, is_runnable: bool = False) -> SmallImage:
    """An image with the file /version. `padding` adds a layer of so many bytes that don't compress. A runnable image
    has bash, sh and the usual tools of this machine, for user 1000 (about 4 MB)."""
    layers = [_pack({"version": version.encode()})]
    if padding:
        layers.append(_pack({"padding": random.Random(version).randbytes(padding)}))
    if is_runnable:
        layers.insert(0, _pack_shell())
    return _assemble(layers, ["/bin/bash", "-c", "cat /version"] if is_runnable else ["/version"])


def _assemble(archives: Sequence[bytes], command: list[str]) -> SmallImage:
    config = _encode(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": {"Cmd": command, "Env": ["PATH=/usr/bin:/bin"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [compute_digest(archive) for archive in archives]},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "small image"} for _ in archives],
        }
    )
    layers = tuple(gzip.compress(archive, compresslevel=1, mtime=0) for archive in archives)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _describe(CONFIG, config),
        "layers": [_describe(LAYER, layer) for layer in layers],
    }
    return SmallImage(_encode(manifest), config, layers)


def _encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _describe(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "size": len(blob), "digest": compute_digest(blob)}


def _pack(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A tar archive in a fixed order; links are symbolic."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        folders = {str(parent) for name in files for parent in Path(name).parents if str(parent) != "."}
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
        for name, goal in sorted((links or {}).items()):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, goal
            archive.addfile(entry)
    return target.getvalue()


@cache
def _pack_shell() -> bytes:
    """This machine's busybox and bash with their libraries."""
    programs = {name: shutil.which(name) for name in ("busybox", "bash")}
    assert all(programs.values()), f"missing: {programs}"
    files = {
        f"etc/{name}": text.encode()
        for name, text in (("passwd", "runner:x:1000:1000::/workspace:/bin/bash\n"), ("group", "runner:x:1000:\n"))
    }
    for name, path in programs.items():
        files[f"bin/{name}"] = Path(str(path)).read_bytes()
        listing = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", listing):
            files[library.lstrip("/")] = Path(library).read_bytes()
    applets = subprocess.run([str(programs["busybox"]), "--list"], capture_output=True, text=True, check=True).stdout
    links = {f"bin/{name}": "busybox" for name in applets.split() if f"bin/{name}" not in files}
    return _pack(files, links)
