"""Reads an archive of `docker save`: of the engine's older layout, and of the OCI layout since version 25. Pure."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

import zstandard

from cronium_admin.images.archive.tar_reader import (
    FILE,
    SYMBOLIC_LINK,
    ArchiveError,
    TarEntry,
    iterate_data,
    read_entries,
)

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
MAX_LAYER = 256 << 30  # bytes without compression
_MAX_DOCUMENT = 8 << 20
_CHUNK = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")


@dataclass(frozen=True)
class SavedLayer:
    """A layer's position in the archive. `diff_id` is the digest of its tar without compression."""

    diff_id: str
    offset: int
    size: int
    media_type: str

    @property
    def is_compressed(self) -> bool:
        return not self.media_type.endswith(".tar")


@dataclass(frozen=True)
class SavedImage:
    """The one image of an archive. `config` is its configuration as the engine keeps it."""

    file: BinaryIO
    config: Mapping[str, Any]
    layers: tuple[SavedLayer, ...]


@contextmanager
def open_seekable(source: BinaryIO) -> Iterator[BinaryIO]:
    """The source itself, or a temporary copy of a stream."""
    if source.seekable():
        yield source
        return
    with tempfile.TemporaryFile(dir="/var/tmp") as copy:  # on a disk; /tmp is often in memory
        shutil.copyfileobj(source, copy, _CHUNK)
        yield cast(BinaryIO, copy)


def read_saved_image(file: BinaryIO) -> SavedImage:
    """Raises ArchiveError unless the file is an archive of one image."""
    entries = {entry.name: entry for entry in read_entries(file) if entry.kind in (FILE, SYMBOLIC_LINK)}
    config_name, layer_names = _find_parts(file, entries)
    config = _load_document(file, entries, config_name)
    diff_ids = (config.get("rootfs") or {}).get("diff_ids") or []
    if len(diff_ids) != len(layer_names):
        raise ArchiveError(
            f"The archive has {len(layer_names)} layers, but the image's configuration names {len(diff_ids)}."
        )
    found = zip(diff_ids, (_find_entry(entries, name) for name in layer_names), strict=True)
    layers = (SavedLayer(diff_id, it.offset, it.size, _find_media_type(file, it)) for diff_id, it in found)
    return SavedImage(file, config, tuple(layers))


@contextmanager
def open_layer(image: SavedImage, layer: SavedLayer, most: int = MAX_LAYER) -> Iterator[tuple[BinaryIO, int, int]]:
    """The layer's tar without compression: a file, and the tar's first byte and end in it.

    Raises ArchiveError for one of more than `most` bytes, before the rest of it is unpacked.
    """
    if not layer.is_compressed:
        _check_size(layer.size, most)
        yield image.file, layer.offset, layer.offset + layer.size
        return
    with tempfile.TemporaryFile(dir="/var/tmp") as plain:
        _unpack_layer(image.file, layer, plain, most)
        yield cast(BinaryIO, plain), 0, plain.tell()


def _find_parts(file: BinaryIO, entries: Mapping[bytes, TarEntry]) -> tuple[str, list[str]]:
    """The names of the configuration and of the layers in the archive."""
    if b"manifest.json" in entries:
        images = _load_document(file, entries, "manifest.json")
        if not isinstance(images, list) or len(images) != 1:
            raise ArchiveError("The archive must have exactly one image. Save one image by its name or id.")
        return images[0]["Config"], images[0]["Layers"]
    if b"index.json" not in entries:
        raise ArchiveError("This is not an archive of `docker save`: it has neither manifest.json nor index.json.")
    manifest = _find_manifest(file, entries, _load_document(file, entries, "index.json"))
    return _name_blob(manifest["config"]["digest"]), [_name_blob(layer["digest"]) for layer in manifest["layers"]]


def _find_manifest(file: BinaryIO, entries: Mapping[bytes, TarEntry], index: Any) -> Any:
    # Indexes of several platforms name manifests that are not in the archive, and attestations.
    manifests = []
    for item in index.get("manifests", []):
        name = _name_blob(item["digest"])
        if name.encode() not in entries or (item.get("platform") or {}).get("architecture") == "unknown":
            continue
        document = _load_document(file, entries, name)
        is_index = item.get("mediaType") in _INDEX_TYPES
        manifests.append(_find_manifest(file, entries, document) if is_index else document)
    if len(manifests) != 1:
        raise ArchiveError(f"The archive must have exactly one image, but it has {len(manifests)}.")
    return manifests[0]


def _name_blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _find_entry(entries: Mapping[bytes, TarEntry], name: str) -> TarEntry:
    key = name.encode()
    for _ in range(10):
        entry = entries.get(key)
        if entry is None:
            raise ArchiveError(f"The archive is incomplete: {name} is missing.")
        if entry.kind == FILE:
            return entry
        # Older engines write a layer that occurs twice as a link, such as ../ID/layer.tar.
        parts: list[bytes] = key.split(b"/")[:-1]
        for part in entry.link.split(b"/"):
            parts = parts[:-1] if part == b".." else [*parts, part]
        key = b"/".join(parts)
    raise ArchiveError(f"The archive is damaged: {name} is a link without an end.")


def _load_document(file: BinaryIO, entries: Mapping[bytes, TarEntry], name: str) -> Any:
    entry = _find_entry(entries, name)
    if entry.size > _MAX_DOCUMENT:
        raise ArchiveError(f"The archive is damaged: {name} has {entry.size} bytes.")
    try:
        return json.loads(b"".join(iterate_data(file, entry)))
    except ValueError as error:
        raise ArchiveError(f"The archive is damaged: {name} is not JSON.") from error


def _find_media_type(file: BinaryIO, entry: TarEntry) -> str:
    file.seek(entry.offset)
    start = file.read(min(4, entry.size))
    suffix = "+gzip" if start.startswith(_GZIP) else "+zstd" if start == _ZSTD else ""
    return LAYER_TYPE + suffix


class _Section(io.RawIOBase):
    """The bytes of a layer in the archive, as a file of its own."""

    def __init__(self, file: BinaryIO, layer: SavedLayer) -> None:
        self._file, self._position, self._end = file, layer.offset, layer.offset + layer.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._position)
        data = self._file.read(min(len(buffer), self._end - self._position))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _unpack_layer(file: BinaryIO, layer: SavedLayer, target: IO[bytes], most: int) -> None:
    section = io.BufferedReader(_Section(file, layer), _CHUNK)
    try:
        unpacked: Any = (
            zstandard.ZstdDecompressor().stream_reader(section, read_across_frames=True)
            if layer.media_type.endswith("+zstd")
            else gzip.GzipFile(fileobj=section)
        )
        while chunk := unpacked.read(_CHUNK):
            _check_size(target.tell() + len(chunk), most)
            target.write(chunk)
    except (zlib.error, gzip.BadGzipFile, EOFError, zstandard.ZstdError) as error:
        raise ArchiveError(f"A layer of the archive is damaged: {error}.") from error


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise ArchiveError(
            f"A layer has more than {most >> 20:,} MB. Remove files that jobs do not need in the step that made them."
        )
