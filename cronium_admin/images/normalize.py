"""Rewrites a saved image so that the same contents give the same digests, whenever and wherever it was built. Pure.

The engine's builders and `commit` store the times of the build in file headers, the configuration and the history.
Base layers may pass untouched, so that images continue to share them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

from cronium_admin.images.archive.layers import write_layer
from cronium_admin.images.archive.saved_image import (
    LAYER_TYPE,
    MAX_LAYER,
    SavedImage,
    SavedLayer,
    open_layer,
    open_seekable,
    read_saved_image,
)
from cronium_admin.images.archive.tar_reader import BLOCK, FILE, ArchiveError, TarEntry, iterate_data
from cronium_admin.images.archive.tar_writer import END, HashingWriter, format_header, pad_data

__all__ = ["ArchiveError", "ImageConfig", "NormalizedImage", "normalize_archive", "normalize_file_system"]

_PLATFORM = ("architecture", "os", "variant")
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class ImageConfig:
    """All settings of the image. Nothing is taken from the container or image that was saved."""

    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Sequence[str] = ()  # NAME=value
    user: str = ""
    working_dir: str = ""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    exposed_ports: Collection[str] = ()  # such as 8081/tcp
    volumes: Collection[str] = ()
    stop_signal: str = ""

    @classmethod
    def from_engine(cls, config: Mapping[str, Any], labels: Mapping[str, str]) -> ImageConfig:
        """From the field `Config` of an image that the engine describes, but with these labels only."""
        return cls(
            labels=labels,
            environment=tuple(config.get("Env") or ()),
            user=config.get("User") or "",
            working_dir=config.get("WorkingDir") or "",
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            exposed_ports=tuple(config.get("ExposedPorts") or ()),
            volumes=tuple(config.get("Volumes") or ()),
            stop_signal=config.get("StopSignal") or "",
        )

    def format(self) -> dict[str, Any]:
        values = {
            "Labels": dict(self.labels),
            "Env": list(self.environment),
            "User": self.user,
            "WorkingDir": self.working_dir,
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command),
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Volumes": {path: {} for path in self.volumes},
            "StopSignal": self.stop_signal,
        }
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True)
class NormalizedImage:
    """`config_digest` is the image's id in the engine's own store, `manifest_digest` in containerd's store.

    `size` is the number of bytes of all layers in the archive.
    """

    config_digest: str
    manifest_digest: str
    diff_ids: tuple[str, ...]
    size: int

    def has_id(self, image_id: str) -> bool:
        return image_id in (self.config_digest, self.manifest_digest)


def normalize_archive(
    source: BinaryIO,
    target: BinaryIO,
    *,
    keep_layers: Collection[str] = (),
    config: ImageConfig,
    epoch: int,
    max_layer: int = MAX_LAYER,
) -> NormalizedImage:
    """Reads an archive of `docker save` with one image, and writes one that any engine loads. Raises ArchiveError.

    Times after `epoch` (seconds since 1970) become `epoch`. `keep_layers` has the diff ids of layers that stay as they
    are; another one may have `max_layer` bytes. Both files may be streams; those that cannot seek are copied to a
    temporary file.
    """
    with open_seekable(source) as archive, _open_target(target) as output:
        return _write_image(read_saved_image(archive), output, keep_layers, config, epoch, max_layer)


def normalize_file_system(
    source: BinaryIO, target: BinaryIO, *, config: ImageConfig, architecture: str, epoch: int
) -> NormalizedImage:
    """As `normalize_archive`, but `source` is the tar of a root file system: the image has one layer."""
    with open_seekable(source) as tar, _open_target(target) as output:
        layer = SavedLayer("", 0, tar.seek(0, 2), LAYER_TYPE)
        image = SavedImage(tar, {"architecture": architecture, "os": "linux"}, (layer,))
        return _write_image(image, output, (), config, epoch)


def _write_image(
    image: SavedImage,
    output: BinaryIO,
    keep_layers: Collection[str],
    config: ImageConfig,
    epoch: int,
    max_layer: int = MAX_LAYER,
) -> NormalizedImage:
    writer = _ArchiveWriter(output)
    layers = [_add_layer(image, layer, writer, keep_layers, epoch, max_layer) for layer in image.layers]
    diff_ids = tuple(diff_id for diff_id, _ in layers)
    blobs = [blob for _, blob in layers]
    config_blob = writer.add_document(_format_config(image, config, diff_ids, epoch), _CONFIG_TYPE)
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST_TYPE, "config": config_blob, "layers": blobs}
    manifest_blob = writer.add_document(manifest, _MANIFEST_TYPE)
    platform = {key: image.config[key] for key in _PLATFORM if image.config.get(key)}
    index = [{**manifest_blob, "platform": platform}]
    writer.add_file("index.json", {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": index})
    paths = [_get_path(blob) for blob in blobs]
    writer.add_file("manifest.json", [{"Config": _get_path(config_blob), "RepoTags": None, "Layers": paths}])
    writer.add_file("oci-layout", {"imageLayoutVersion": "1.0.0"})
    writer.finish()
    size = sum(int(blob["size"]) for blob in blobs)
    return NormalizedImage(config_blob["digest"], manifest_blob["digest"], diff_ids, size)


@contextmanager
def _open_target(target: BinaryIO) -> Iterator[BinaryIO]:
    if target.seekable():
        yield target
        return
    with tempfile.TemporaryFile(dir="/var/tmp") as copy:
        yield cast(BinaryIO, copy)
        copy.seek(0)
        shutil.copyfileobj(copy, target, 1 << 20)


def _add_layer(
    image: SavedImage,
    layer: SavedLayer,
    writer: _ArchiveWriter,
    keep_layers: Collection[str],
    epoch: int,
    max_layer: int,
) -> tuple[str, dict[str, Any]]:
    """The diff id of the new layer, and its descriptor."""
    if layer.diff_id in keep_layers:
        entry = TarEntry(b"layer", FILE, size=layer.size, offset=layer.offset)
        with writer.add_blob(layer.media_type) as blob:
            for chunk in iterate_data(image.file, entry):
                blob.write(chunk)
        if not layer.is_compressed and writer.last["digest"] != layer.diff_id:
            raise ArchiveError(f"The archive is damaged: the layer {layer.diff_id} has other contents.")
        return layer.diff_id, writer.last
    with (
        open_layer(image, layer, max_layer) as (file, start, end),
        writer.add_blob(LAYER_TYPE) as blob,
    ):
        write_layer(file, start, end, blob, epoch)
    return writer.last["digest"], writer.last


def _format_config(image: SavedImage, config: ImageConfig, diff_ids: Sequence[str], epoch: int) -> dict[str, Any]:
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    formatted = {key: image.config[key] for key in _PLATFORM if image.config.get(key)}
    return {
        **formatted,
        "created": created,
        "config": config.format(),
        "history": [{"created": created, "created_by": "cronium"} for _ in diff_ids],
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
    }


def _get_path(blob: Mapping[str, Any]) -> str:
    return "blobs/" + str(blob["digest"]).replace(":", "/", 1)


class _ArchiveWriter:
    """Writes the OCI layout with the `manifest.json` that older engines read. The target must be able to seek."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._start = target.tell()
        self._digests: set[str] = set()
        self.last: dict[str, Any] = {}  # the descriptor of the blob that was written last

    @contextmanager
    def add_blob(self, media_type: str) -> Iterator[HashingWriter]:
        """A blob of unknown size: its header is written after its contents. A repeated blob is left out."""
        begin = self._target.tell()
        self._target.write(bytes(BLOCK))
        writer = HashingWriter(self._target)
        yield writer
        digest = writer.close()
        self.last = {"mediaType": media_type, "digest": digest, "size": writer.size}
        if digest in self._digests:
            self._target.seek(begin)
            return
        self._digests.add(digest)
        self._target.write(pad_data(writer.size))
        end = self._target.tell()
        header = format_header(TarEntry(_get_path(self.last).encode(), FILE, size=writer.size))
        if len(header) != BLOCK:
            raise ArchiveError(f"The layer {digest} has {writer.size} bytes, which is more than an archive can hold.")
        self._target.seek(begin)
        self._target.write(header)
        self._target.seek(end)

    def add_document(self, document: Any, media_type: str) -> dict[str, Any]:
        with self.add_blob(media_type) as blob:
            blob.write(_format_json(document))
        return self.last

    def add_file(self, name: str, document: Any) -> None:
        content = _format_json(document)
        self._target.write(format_header(TarEntry(name.encode(), FILE, size=len(content))))
        self._target.write(content + pad_data(len(content)))

    def finish(self) -> None:
        # A blob that was left out may reach further than the end.
        self._target.write(END)
        self._target.truncate()
        self._target.flush()


def _format_json(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
