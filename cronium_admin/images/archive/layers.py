"""Writes a layer in one form: sorted, with clamped times and cleaned contents. Pure."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from typing import BinaryIO, Protocol

from cronium_admin.images.archive.contents import (
    COMPILED_HEADER,
    MAX_CLEANED,
    Cleaner,
    clean_compiled_header,
    find_rule,
)
from cronium_admin.images.archive.tar_reader import (
    FILE,
    FOLDER,
    HARD_LINK,
    ArchiveError,
    TarEntry,
    iterate_data,
    read_entries,
)
from cronium_admin.images.archive.tar_writer import END, format_header, pad_data

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
# The package scripts of apk, a tar within the layer whose times are those of the build.
_SCRIPTS = {b"lib/apk/db/scripts.tar", b"usr/lib/apk/db/scripts.tar"}
_MAX_REPLACED = 100


class Writer(Protocol):
    """The target of a layer."""

    def write(self, data: bytes, /) -> object: ...


class Inode:
    """A file with all its names: the entry that has the data, and the name that was written first."""

    __slots__ = ("entry", "written")

    def __init__(self, entry: TarEntry) -> None:
        self.entry = entry
        self.written: bytes | None = None


def write_layer(file: BinaryIO, start: int, end: int, target: Writer, epoch: int) -> None:
    """Reads the tar between `start` and `end`; writes it in the one form. Its headers are in memory, not its data."""
    members = collect_members(read_entries(file, start, end))
    for name in sorted(members, key=_make_sort_key):
        _write_member(file, name, members[name], target, epoch)
    target.write(END)


def collect_members(entries: Iterable[TarEntry]) -> dict[bytes, Inode]:
    """The names after the extraction of all entries: a later entry replaces an earlier one of its name.

    A hard link to a file of a lower layer is an inode of its own, whose entry has the kind HARD_LINK.
    """
    members: dict[bytes, Inode] = {}
    replaced = 0
    for entry in entries:
        former = members.get(entry.name)
        if former and former.entry.kind == FOLDER and entry.kind != FOLDER:
            replaced += 1
            if replaced > _MAX_REPLACED:  # each one looks at all names
                raise ArchiveError(f"The archive replaces more than {_MAX_REPLACED} folders by files.")
            for name in [name for name in members if name.startswith(entry.name + b"/")]:
                del members[name]
        target = members.get(entry.link) if entry.kind == HARD_LINK else None
        members[entry.name] = target or Inode(entry)
    return members


def _make_sort_key(name: bytes) -> bytes:
    # Parents come before their contents; whiteouts are the first in their folder.
    return (b"/" + name).replace(b"/" + WHITEOUT, b"/\0")


def _write_member(file: BinaryIO, name: bytes, inode: Inode, target: Writer, epoch: int) -> None:
    mtime = max(0, min(inode.entry.mtime, epoch))
    if inode.written is not None:
        link = replace(inode.entry, name=name, kind=HARD_LINK, size=0, link=inode.written, mtime=mtime, xattrs=())
        link.major = link.minor = 0
        target.write(format_header(link))
        return
    inode.written = name
    entry = replace(inode.entry, name=name, mtime=mtime)
    if entry.kind == FILE:
        _write_file(file, entry, target, epoch)
    else:
        target.write(format_header(entry))


def _write_file(file: BinaryIO, entry: TarEntry, target: Writer, epoch: int) -> None:
    rule = _clean_scripts if entry.name in _SCRIPTS else find_rule(entry.name)
    if rule == "empty":
        entry.size = 0
        target.write(format_header(entry))
    elif callable(rule) and entry.size <= MAX_CLEANED:
        _write_cleaned(b"".join(iterate_data(file, entry)), rule, entry, target, epoch)
    else:
        target.write(format_header(entry))
        for number, chunk in enumerate(iterate_data(file, entry)):
            if number == 0 and rule == "compiled":
                chunk = clean_compiled_header(chunk[:COMPILED_HEADER]) + chunk[COMPILED_HEADER:]
            target.write(chunk)
        target.write(pad_data(entry.size))


def _write_cleaned(content: bytes, cleaner: Cleaner, entry: TarEntry, target: Writer, epoch: int) -> None:
    content = cleaner(content, epoch)
    entry.size = len(content)
    target.write(format_header(entry))
    target.write(content + pad_data(entry.size))


def _clean_scripts(content: bytes, epoch: int) -> bytes:
    file, cleaned = io.BytesIO(content), io.BytesIO()
    try:
        # Any step of a build can write this file. A sparse one unpacks to any size, and one within itself to any depth.
        if any(entry.holes is not None or entry.name in _SCRIPTS for entry in read_entries(file)):
            return content
        write_layer(file, 0, len(content), cleaned, epoch)
    except ArchiveError:
        return content  # in a form of a later apk
    return cleaned.getvalue()
