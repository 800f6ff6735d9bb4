"""Finds the installed packages in a saved image: of dpkg, apk, Python and Node. Reads the layers once. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from cronium_admin.images.archive.layers import OPAQUE, WHITEOUT, Inode, collect_members
from cronium_admin.images.archive.saved_image import SavedImage, open_layer
from cronium_admin.images.archive.tar_reader import FILE, FOLDER, ArchiveError, iterate_data, read_entries

# A build decides what these files contain. Their parts that count are in memory.
_MAX_DOCUMENT, _MAX_NODE_DOCUMENT = 16 << 20, 1 << 20
_MAX_DOCUMENTS, _MAX_DOCUMENT_BYTES = 50_000, 128 << 20
MAX_PACKAGES = 20_000
_MAX_NAME, _MAX_VERSION = 214, 100  # npm allows names of 214 characters


@dataclass(frozen=True, order=True)
class FoundPackage:
    """`type` is that of a package URL: deb, apk, pypi or npm."""

    type: str
    name: str
    version: str
    architecture: str = ""


@dataclass(frozen=True)
class ImageContents:
    """The packages without repetition, sorted; the fields of `os-release`, empty without that file."""

    packages: tuple[FoundPackage, ...]
    system: Mapping[str, str]


def find_packages(image: SavedImage) -> ImageContents:
    """Raises ArchiveError. Files that a later layer replaces or removes do not count."""
    documents: dict[bytes, bytes] = {}
    for layer in image.layers:
        with open_layer(image, layer) as (file, start, end):
            members = collect_members(read_entries(file, start, end))
            for path in [path for path in documents if _is_hidden(path, members)]:
                del documents[path]
            documents.update(_read_documents(file, members, documents))
    packages: set[FoundPackage] = set()
    for package in (found for path, content in documents.items() for found in _parse_document(path, content)):
        packages.add(package)
        if len(packages) > MAX_PACKAGES:
            raise ArchiveError(f"The image's lists of installed packages have more than {MAX_PACKAGES:,} entries.")
    system = documents.get(b"usr/lib/os-release") or documents.get(b"etc/os-release") or b""
    return ImageContents(tuple(sorted(packages)), _parse_system(_read_text(system)))


def _is_hidden(path: bytes, members: Mapping[bytes, Inode]) -> bool:
    """Whether a layer with these members removes the file of a lower layer, or replaces a folder above it."""
    parts = path.split(b"/")
    for depth in range(len(parts)):
        folder = b"".join(part + b"/" for part in parts[:depth])
        if folder + WHITEOUT + parts[depth] in members or folder + OPAQUE in members:
            return True
        replaced = members.get(folder + parts[depth])
        if replaced and (replaced.entry.kind != FOLDER or depth == len(parts) - 1):
            return True
    return False


def _read_documents(
    file: BinaryIO, members: Mapping[bytes, Inode], known: Mapping[bytes, bytes]
) -> Iterator[tuple[bytes, bytes]]:
    count, size = len(known), sum(map(len, known.values()))
    for name, inode in members.items():
        entry = inode.entry
        most = _MAX_NODE_DOCUMENT if name.endswith(b"/package.json") else _MAX_DOCUMENT
        if entry.kind == FILE and entry.size <= most and _find_parser(name):
            content = _shorten_document(name, b"".join(iterate_data(file, entry)))
            count, size = count + 1, size + len(content)
            if count > _MAX_DOCUMENTS or size > _MAX_DOCUMENT_BYTES:
                raise ArchiveError(
                    f"The image's lists of installed packages are more than {_MAX_DOCUMENTS:,} files, or larger than "
                    f"{_MAX_DOCUMENT_BYTES >> 20} MB together."
                )
            yield name, content


def _shorten_document(name: bytes, content: bytes) -> bytes:
    # A description may be long, and an image may have thousands of them.
    return content.partition(b"\n\n")[0] if name.endswith((b"/METADATA", b"/PKG-INFO", b".egg-info")) else content


Parser = Callable[[str], Iterator[FoundPackage]]


def _parse_document(path: bytes, content: bytes) -> Iterator[FoundPackage]:
    parser = _find_parser(path)
    return parser(_read_text(content)) if parser else iter(())


def _find_parser(path: bytes) -> Parser | None:
    return next((parser for pattern, parser in _PARSERS if pattern.fullmatch(path)), None)


def _read_text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _parse_dpkg(text: str) -> Iterator[FoundPackage]:
    for paragraph in re.split(r"\n{2,}", text):
        fields = _parse_fields(paragraph)
        # The files of status.d have no status.
        if fields.get("Status", "installed").endswith("installed") and "not-installed" not in fields.get("Status", ""):
            yield from _make_package("deb", fields, "Package", "Version", "Architecture")


def _parse_apk(text: str) -> Iterator[FoundPackage]:
    for paragraph in re.split(r"\n{2,}", text):
        yield from _make_package("apk", _parse_fields(paragraph), "P", "V", "A")


def _parse_metadata(text: str) -> Iterator[FoundPackage]:
    for package in _make_package("pypi", _parse_fields(text), "Name", "Version", ""):
        yield FoundPackage("pypi", re.sub(r"[-_.]+", "-", package.name).lower(), package.version)


def _parse_node(text: str) -> Iterator[FoundPackage]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        fields = {key: value for key, value in document.items() if isinstance(value, str)}
        yield from _make_package("npm", fields, "name", "version", "")


def _parse_system(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: _clean(value.strip("\"'"), _MAX_VERSION) for name, equals, value in pairs if equals}


def _ignore_document(_text: str) -> Iterator[FoundPackage]:
    return iter(())


_PARSERS: tuple[tuple[re.Pattern[bytes], Parser], ...] = (
    (re.compile(rb"var/lib/dpkg/status(?:\.d/[^/]+(?<!\.md5sums))?"), _parse_dpkg),
    (re.compile(rb"(?:usr/)?lib/apk/db/installed"), _parse_apk),
    # Without the copies that a package has of others.
    (re.compile(rb"(?!.*/_vendor/).*\.(?:dist-info/METADATA|egg-info(?:/PKG-INFO)?)", re.DOTALL), _parse_metadata),
    (re.compile(rb"(?:.*/)?node_modules/(?:@[^/]+/)?[^/]+/package\.json", re.DOTALL), _parse_node),
    (re.compile(rb"(?:usr/lib|etc)/os-release"), _ignore_document),
)


def _parse_fields(paragraph: str) -> dict[str, str]:
    """The fields of a paragraph; lines that continue a field are left out."""
    fields: dict[str, str] = {}
    for line in paragraph.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith((" ", "\t")):
            fields.setdefault(name, value.strip())
    return fields


def _make_package(
    kind: str, fields: Mapping[str, str], name: str, version: str, architecture: str
) -> Iterator[FoundPackage]:
    # Slashes at an end stand for no name in a package URL.
    title = _clean(fields.get(name, ""), _MAX_NAME).strip(" /")
    number = _clean(fields.get(version, ""), _MAX_VERSION)
    if title and number:
        yield FoundPackage(kind, title, number, _clean(fields.get(architecture, ""), _MAX_VERSION))


def _clean(text: str, most: int) -> str:
    """At most `most` characters, without those that no line of text has, such as NUL and half surrogate pairs."""
    return "".join(character if character.isprintable() else "?" for character in text.strip()[:most]).strip()
