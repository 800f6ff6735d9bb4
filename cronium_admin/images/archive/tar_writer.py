"""Writes tar entries in one form: ustar headers, and a PAX header only for what ustar cannot hold. Pure."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import BinaryIO

from cronium_admin.images.archive.tar_reader import BLOCK, FOLDER, ArchiveError, TarEntry, format_name

END = bytes(2 * BLOCK)
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_MAX_ID, _MAX_SIZE = 0o7777777, 0o77777777777
_BUFFER = 1 << 20


def format_header(entry: TarEntry) -> bytes:
    """The header of an entry, with its PAX header if it needs one. Equal entries give equal bytes."""
    name = entry.name + b"/" if entry.kind == FOLDER else entry.name
    name = name if entry.name else b"./"
    records: list[tuple[bytes, bytes]] = list(entry.xattrs)
    for key, text in ((b"path", name), (b"linkpath", entry.link)):
        if len(text) > 100 or not text.isascii():
            records.append((key, text))
    for key, number, limit in ((b"uid", entry.uid, _MAX_ID), (b"gid", entry.gid, _MAX_ID)):
        if number > limit:
            records.append((key, b"%d" % number))
    if entry.size > _MAX_SIZE:
        records.append((b"size", b"%d" % entry.size))
    if max(entry.major, entry.minor) > _MAX_ID:
        raise ArchiveError(f"The device {format_name(entry.name)} has a number that a tar cannot hold.")
    header = _pack(name, entry)
    return _format_records(name, records) + header if records else header


def pad_data(size: int) -> bytes:
    """The zeros that follow a file's contents."""
    return bytes(-size % BLOCK)


def _pack(name: bytes, entry: TarEntry) -> bytes:
    header = _HEADER.pack(
        name[:100],
        b"%07o\0" % entry.mode,
        b"%07o\0" % min(entry.uid, _MAX_ID),
        b"%07o\0" % min(entry.gid, _MAX_ID),
        b"%011o\0" % min(entry.size, _MAX_SIZE),
        b"%011o\0" % entry.mtime,
        b"        ",
        entry.kind,
        entry.link[:100],
        b"ustar\00000",
        b"",
        b"",
        b"%07o\0" % entry.major,
        b"%07o\0" % entry.minor,
        b"",
    )
    return b"%b%06o\0 %b" % (header[:148], sum(header), header[156:])


def _format_records(name: bytes, records: Iterable[tuple[bytes, bytes]]) -> bytes:
    data = b"".join(_format_record(key, value) for key, value in sorted(records))
    base = name.rstrip(b"/").rpartition(b"/")[2]
    short = b"PaxHeaders.0/" + (base if base.isascii() else b"name")[:80]
    return _pack(short, TarEntry(short, b"x", size=len(data))) + data + pad_data(len(data))


def _format_record(key: bytes, value: bytes) -> bytes:
    rest = b" %b=%b\n" % (key, value)
    length = len(rest)
    while len(rest) + len(b"%d" % length) != length:
        length = len(rest) + len(b"%d" % length)
    return b"%d%b" % (length, rest)


class HashingWriter:
    """Collects small writes, and computes the SHA-256 and the number of bytes. `close` writes the rest."""

    def __init__(self, target: BinaryIO) -> None:
        self._target, self._hash, self._buffer = target, hashlib.sha256(), bytearray()
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if len(self._buffer) + len(data) < _BUFFER:
            self._buffer += data
            return
        self._write_buffer()
        if len(data) < _BUFFER // 4:
            self._buffer += data
        else:
            self._hash.update(data)
            self._target.write(data)

    def _write_buffer(self) -> None:
        self._hash.update(self._buffer)
        self._target.write(self._buffer)
        self._buffer = bytearray()

    def close(self) -> str:
        """Returns the digest, such as `sha256:…`."""
        self._write_buffer()
        return f"sha256:{self._hash.hexdigest()}"
