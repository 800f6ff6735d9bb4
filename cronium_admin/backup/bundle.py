"""The backup file: a compressed tar of a manifest and its members, which the manifest lists with size and SHA-256."""

import hashlib
import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cronium_admin.backup.errors import BackupError
from cronium_admin.core.data_folder import sync_to_disk

FORMAT = 1
MANIFEST = "manifest.json"
_BLOCK_BYTES = 1024 * 1024


def write_bundle(path: Path, facts: Mapping[str, Any], members: Mapping[str, Path]) -> None:
    """Writes the file atomically, readable by its owner only."""
    listing = {name: {"bytes": member.stat().st_size, "sha256": _hash_file(member)} for name, member in members.items()}
    manifest = json.dumps({"format": FORMAT, **facts, "members": listing}, indent=1).encode()
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
                info = tarfile.TarInfo(MANIFEST)
                info.size, info.mode = len(manifest), 0o600
                tar.addfile(info, io.BytesIO(manifest))
                for name, member in members.items():
                    tar.add(member, name, filter=_anonymize_member)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_to_disk(path.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _anonymize_member(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o600
    return info


def unpack_bundle(path: Path, folder: Path) -> dict[str, Any]:
    """Writes the verified members into `folder`; returns the manifest. Raises BackupError."""
    try:
        with tarfile.open(path, "r:gz") as tar:
            info = tar.next()
            source = tar.extractfile(info) if info is not None and info.name == MANIFEST else None
            if source is None:
                raise BackupError(f"{path} is not a backup of Cronium: it does not begin with {MANIFEST}.")
            manifest: dict[str, Any] = json.loads(source.read())
            _check_format(path, manifest)
            _unpack_members(path, tar, manifest["members"], folder)
    except FileNotFoundError:
        raise BackupError(f"There is no file {path}.") from None
    except OSError as error:
        raise BackupError(f"{path} can't be read: {error}.") from error
    except (tarfile.TarError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path} is damaged or not a backup of Cronium ({error}). Nothing was restored.") from error
    return manifest


def _check_format(path: Path, manifest: dict[str, Any]) -> None:
    if manifest["format"] != FORMAT:
        text = f"{path} has the format {manifest['format']}; this version reads the format {FORMAT}."
        raise BackupError(
            f"{text} Restore it with Cronium {manifest.get('version', 'of the version that created it')}."
        )


def _unpack_members(path: Path, tar: tarfile.TarFile, members: dict[str, Any], folder: Path) -> None:
    # Only regular files without a folder, which the manifest lists.
    for info in tar:
        if info.offset == 0:  # the manifest itself
            continue
        if info.name not in members or not info.isreg() or "/" in info.name or info.name.startswith("."):
            raise BackupError(f"{path} is damaged: it contains {info.name[:80]!r}, which its manifest does not list.")
        source = tar.extractfile(info)
        if source is None or info.size != members[info.name]["bytes"]:
            raise BackupError(f"{path} is damaged: {info.name} differs from the manifest. Nothing was restored.")
        with (folder / info.name).open("wb") as target:
            while block := source.read(_BLOCK_BYTES):
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
    for name, expected in members.items():
        file = folder / name
        if not file.exists() or file.stat().st_size != expected["bytes"] or _hash_file(file) != expected["sha256"]:
            raise BackupError(f"{path} is damaged: {name} differs from the manifest. Nothing was restored.")


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
