"""The software bill of materials of an image, as a CycloneDX 1.6 document. Pure.

Equal contents give equal bytes: the document has no time, and its serial number is derived from its contents.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from packageurl import PackageURL

from cronium_admin.images.archive.packages import FoundPackage, ImageContents, find_packages
from cronium_admin.images.archive.saved_image import open_seekable, read_saved_image

_SERIAL_NUMBERS = uuid.UUID("5a4b7a39-1cc5-5f07-9c59-0c1f0f1d7a52")


class Package(NamedTuple):
    """`type` is that of a package URL: deb, apk, pypi or npm."""

    type: str
    name: str
    version: str


def build_sbom(archive: BinaryIO, *, name: str, version: str) -> bytes:
    """The document of a `docker save` archive with one image. Raises ArchiveError."""
    with open_seekable(archive) as file:
        contents = find_packages(read_saved_image(file))
    return format_sbom(contents, name=name, version=version)


def format_sbom(contents: ImageContents, *, name: str, version: str) -> bytes:
    components = {component["bom-ref"]: component for component in _make_components(contents)}
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _make_component("container", name, version, "image")},
        "components": [components[key] for key in sorted(components)],
    }
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_SERIAL_NUMBERS, json.dumps(document, sort_keys=True))}"
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def list_packages(sbom: bytes) -> list[Package]:
    """The packages of a stored document, by type and name."""
    components = json.loads(sbom).get("components", [])
    urls = (PackageURL.from_string(item["purl"]) for item in components if item.get("purl"))
    return sorted(Package(url.type, _join_name(url), url.version or "") for url in urls)


def _join_name(url: PackageURL) -> str:
    return f"{url.namespace}/{url.name}" if url.type == "npm" and url.namespace else url.name


def _make_components(contents: ImageContents) -> Iterator[dict[str, str]]:
    system = contents.system
    if system.get("ID"):
        yield _make_component("operating-system", system["ID"], system.get("VERSION_ID", ""), "system")
    for url in _make_urls(contents.packages, system.get("ID", ""), system.get("VERSION_ID", "")):
        text = url.to_string()
        yield {**_make_component("library", _join_name(url), url.version or "", text), "purl": text}


def _make_component(kind: str, name: str, version: str, key: str) -> dict[str, str]:
    return {"type": kind, "name": name, "version": version, "bom-ref": key}


def _make_urls(packages: Iterable[FoundPackage], system: str, version: str) -> Iterator[PackageURL]:
    for package in packages:
        namespace, name, qualifiers = "", package.name, dict[str, str]()
        if package.type in ("deb", "apk"):
            namespace = system or {"deb": "debian", "apk": "alpine"}[package.type]
            distribution = f"{system}-{version}" if system and version else ""
            qualifiers = {"arch": package.architecture, "distro": distribution}
        elif package.type == "npm" and "/" in name:
            namespace, _, name = name.rpartition("/")
        chosen = {key: value for key, value in qualifiers.items() if value}
        yield PackageURL(package.type, namespace or None, name, package.version, chosen or None)
