"""Archives of `docker save` in memory, in the layouts of older and newer engines."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from typing import Any

import zstandard

LAYOUTS = ("older", "oci", "oci-gzip", "oci-zstd", "oci-index")


def make_entry(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(content), 1_790_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def make_folder(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return make_entry(name, type=tarfile.DIRTYPE, mode=0o755, **fields)


def make_link(name: str, target: str, kind: bytes = tarfile.LNKTYPE, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return make_entry(name, type=kind, linkname=target, **fields)


def pack_tar(entries: Sequence[tuple[tarfile.TarInfo, bytes]], format: int = tarfile.PAX_FORMAT, **more: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, **more) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def compute_digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def save_image(layers: Sequence[bytes], layout: str = "older", **config: Any) -> bytes:
    """`layers` are tars."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-11-28T03:01:00Z",
        "config": {"Labels": {"cronium.instance": "x"}, "Env": ["OLD=1"]},
        "history": [{"created": "2026-11-28T03:01:00Z", "created_by": "/bin/sh -c date"}],
        "rootfs": {"type": "layers", "diff_ids": [compute_digest(layer) for layer in layers]},
        **config,
    }
    files = _lay_out_older(layers, document) if layout == "older" else _lay_out_oci(layers, document, layout)
    return pack_tar(
        [make_link(n, f.decode()[1:], tarfile.SYMTYPE) if f[:1] == b">" else make_entry(n, f) for n, f in files]
    )


def _lay_out_older(layers: Sequence[bytes], config: dict[str, Any]) -> list[tuple[str, bytes]]:
    files, written = list[tuple[str, bytes]](), dict[bytes, str]()
    names = [f"{number:064x}/layer.tar" for number in range(len(layers))]
    for name, layer in zip(names, layers, strict=True):
        files += [
            (name.replace("layer.tar", "VERSION"), b"1.0"),
            (name, b">../" + written[layer].encode() if layer in written else layer),
        ]
        written.setdefault(layer, name)
    content = json.dumps(config).encode()
    config_name = compute_digest(content)[7:] + ".json"
    manifest = [{"Config": config_name, "RepoTags": ["x:1"], "Layers": names}]
    return [*files, (config_name, content), ("manifest.json", json.dumps(manifest).encode())]


def _lay_out_oci(layers: Sequence[bytes], config: dict[str, Any], layout: str) -> list[tuple[str, bytes]]:
    pack = {"oci-gzip": gzip.compress, "oci-zstd": zstandard.ZstdCompressor().compress}.get(layout, bytes)
    blobs: dict[str, bytes] = {}

    def add(content: bytes, media_type: str = "") -> dict[str, Any]:
        digest = compute_digest(content)
        blobs[f"blobs/sha256/{digest[7:]}"] = content
        return {"digest": digest, "size": len(content), "mediaType": media_type}

    found = [add(pack(layer)) for layer in layers]
    config_blob = add(json.dumps(config).encode())
    manifest = add(json.dumps({"schemaVersion": 2, "config": config_blob, "layers": found}).encode())
    if layout == "oci-index":
        inner_type = "application/vnd.oci.image.index.v1+json"
        absent = {"digest": "sha256:" + "0" * 64, "size": 1, "platform": {"architecture": "arm64"}}
        attestation = {**add(b"{}"), "platform": {"architecture": "unknown"}}
        inner = {"manifests": [absent, manifest, attestation]}
        return [*blobs.items(), *_list_index(blobs, add(json.dumps(inner).encode(), inner_type))]
    paths = ["blobs/" + blob["digest"].replace(":", "/") for blob in (config_blob, *found)]
    older = [{"Config": paths[0], "RepoTags": None, "Layers": paths[1:]}]
    return [
        *blobs.items(),
        ("index.json", json.dumps({"manifests": [manifest]}).encode()),
        ("manifest.json", json.dumps(older).encode()),
    ]


def _list_index(blobs: dict[str, bytes], index: dict[str, Any]) -> list[tuple[str, bytes]]:
    name = "blobs/" + index["digest"].replace(":", "/")
    return [(name, blobs[name]), ("index.json", json.dumps({"manifests": [index]}).encode())]
