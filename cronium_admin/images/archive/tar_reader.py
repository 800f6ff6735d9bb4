"""Lists the entries of a tar with the positions of their data: ustar, PAX and GNU, also sparse files. Pure.

Names and values stay bytes, because a layer may have names in any encoding.
"""

from __future__ import annotations

import re
import struct
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

BLOCK = 512
FILE, HARD_LINK, SYMBOLIC_LINK, CHARACTER_DEVICE, BLOCK_DEVICE, FOLDER, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_KINDS = {FILE, HARD_LINK, SYMBOLIC_LINK, CHARACTER_DEVICE, BLOCK_DEVICE, FOLDER, FIFO}
_XATTR = b"SCHILY.xattr."
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_RECORD_LENGTH = re.compile(rb"(\d{1,7}) ")
_SIZE, _TIME = re.compile(rb"\d{1,19}"), re.compile(rb"-?\d{1,19}(?:\.\d*)?")
_MAX_EXTENSION = 1 << 20
# A sparse file is written in full. One of terabytes, such as `lastlog` with a large user id, must not fill the disk.
_MAX_SPARSE = 8 << 30
# The entries of a layer are in memory, and a build decides how many there are.
MAX_ENTRIES, MAX_NAME_BYTES = 500_000, 256 << 20
_CHUNK = 1 << 20


class ArchiveError(ValueError):
    """The archive is damaged, or has something that an image must not have. The message is a sentence."""


@dataclass(slots=True)
class TarEntry:
    """`name` has neither a leading `./` nor a trailing slash; the root folder's is empty."""

    name: bytes
    kind: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    offset: int = 0  # of the data in the file
    holes: tuple[tuple[int, int], ...] | None = None  # a sparse file's stored parts: position and length


@dataclass
class _Extensions:
    """The headers before an entry which replace or add to its fields."""

    start: int
    records: dict[bytes, bytes] = field(default_factory=dict)


def read_entries(file: BinaryIO, start: int = 0, end: int | None = None) -> Iterator[TarEntry]:
    """The entries in the archive's order. `end` is the first byte after the archive; the caller may seek meanwhile."""
    if end is None:
        end = file.seek(0, 2)
    position, defaults = start, dict[bytes, bytes]()
    count = name_bytes = 0
    extensions: _Extensions | None = None
    while position + BLOCK <= end:
        file.seek(position)
        header = file.read(BLOCK)
        if not header.strip(b"\0"):
            break
        kind, size = _check_header(header, position)
        if kind in (b"x", b"X", b"g", b"L", b"K"):
            extensions = extensions or _Extensions(position)
            _read_extension(file, kind, _check_size(size, _MAX_EXTENSION, position), defaults, extensions)
            position += BLOCK + _round_up(size)
            continue
        records = {**defaults, **extensions.records} if extensions else defaults
        if kind == b"S" or any(key.startswith(b"GNU.sparse.") for key in records):
            entry, position = _read_sparse(file, extensions.start if extensions else position, end)
            entry.xattrs = _select_xattrs(records)
        else:
            entry = _make_entry(header, kind, size, records)
            entry.offset = position + BLOCK
            position = entry.offset + _round_up(entry.size)
        extensions = None
        if position > end:
            raise ArchiveError(f"The archive ends within {format_name(entry.name)}.")
        count += 1
        name_bytes += len(entry.name) + len(entry.link) + sum(len(key) + len(value) for key, value in entry.xattrs)
        if count > MAX_ENTRIES or name_bytes > MAX_NAME_BYTES:
            raise ArchiveError(
                f"A layer has more than {MAX_ENTRIES:,} files, or names and attributes of more than "
                f"{MAX_NAME_BYTES >> 20} MB together. Remove files that jobs do not need in the step that made them."
            )
        if kind != b"V":  # a volume's label
            yield entry
    else:
        if position < end:
            raise ArchiveError("The archive ends within a header.")


def iterate_data(file: BinaryIO, entry: TarEntry) -> Iterator[bytes]:
    """The contents in chunks, with zeros for the holes of a sparse file."""
    if entry.holes is None:
        yield from _iterate_range(file, entry.offset, entry.size)
        return
    position, stored = 0, entry.offset
    for begin, length in entry.holes:
        yield from _iterate_zeros(begin - position)
        yield from _iterate_range(file, stored, length)
        position, stored = begin + length, stored + length
    yield from _iterate_zeros(entry.size - position)


def clean_name(name: bytes) -> bytes:
    """Raises ArchiveError for a name that leads out of the image."""
    if (
        name.startswith((b"/", b"./"))
        or name.endswith((b"/", b"/."))
        or name == b"."
        or b"//" in name
        or b"/./" in name
    ):
        name = b"/".join(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in name and b".." in name.split(b"/"):
        raise ArchiveError(f"The archive has the name {format_name(name)}, which leads out of the image.")
    return name


def format_name(name: bytes) -> str:
    return repr(name[:200].decode("utf-8", "backslashreplace"))


def _iterate_range(file: BinaryIO, offset: int, size: int) -> Iterator[bytes]:
    while size > 0:
        file.seek(offset)  # the caller may read other parts between two chunks
        chunk = file.read(min(size, _CHUNK))
        if not chunk:
            raise ArchiveError("The archive ends within a file.")
        yield chunk
        offset, size = offset + len(chunk), size - len(chunk)


def _iterate_zeros(size: int) -> Iterator[bytes]:
    while size > 0:
        yield bytes(min(size, _CHUNK))
        size -= _CHUNK


def _round_up(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _check_header(header: bytes, position: int) -> tuple[bytes, int]:
    """The entry's kind and size."""
    stored = _parse_number(header[148:156])
    if sum(header) - sum(header[148:156]) + 256 != stored:
        raise ArchiveError(f"The archive is damaged at byte {position}: a header's checksum is wrong.")
    size = _parse_number(header[124:136])
    if size < 0:
        raise ArchiveError(f"The archive is damaged at byte {position}: a file of {size} bytes.")
    return header[156:157], size


def _check_size(size: int, limit: int, position: int) -> int:
    if not 0 <= size <= limit:
        raise ArchiveError(f"The archive is damaged at byte {position}: a header of {size} bytes.")
    return size


def _parse_number(digits: bytes) -> int:
    if digits and digits[0] & 0x80:  # GNU's binary numbers
        if digits[0] == 0xFF:
            return int.from_bytes(digits, "big", signed=True)
        return int.from_bytes(bytes([digits[0] & 0x7F]) + digits[1:], "big")
    text = digits.partition(b"\0")[0].strip()
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise ArchiveError(f"The archive is damaged: {text!r} is not a number.") from None


def _read_extension(
    file: BinaryIO, kind: bytes, size: int, defaults: dict[bytes, bytes], extensions: _Extensions
) -> None:
    data = file.read(size)
    if len(data) < size:
        raise ArchiveError("The archive ends within a header.")
    if kind == b"L":
        extensions.records[b"path"] = data.partition(b"\0")[0]
    elif kind == b"K":
        extensions.records[b"linkpath"] = data.partition(b"\0")[0]
    else:
        (defaults if kind == b"g" else extensions.records).update(_parse_records(data))


def _parse_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(data):
        found = _RECORD_LENGTH.match(data, position)
        length = int(found[1]) if found else 0
        record = data[position : position + length]
        if not found or length < 5 or not record.endswith(b"\n"):
            if not data[position:].strip(b"\0"):
                return
            raise ArchiveError("The archive has a damaged PAX header.")
        key, _, value = record[len(found[0]) : -1].partition(b"=")
        yield key, value
        position += length


def _choose_number(text: bytes | None, form: re.Pattern[bytes], of_header: int) -> int:
    """The number of a PAX header, without its fraction; without one, that of the entry's own header."""
    if not text:
        return of_header
    if not form.fullmatch(text):
        raise ArchiveError(f"The archive is damaged: {text[:40]!r} is not a number.")
    return int(float(text)) if b"." in text else int(text)


def _select_xattrs(records: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(sorted((key, value) for key, value in records.items() if key.startswith(_XATTR)))


def _make_entry(header: bytes, kind: bytes, size: int, records: dict[bytes, bytes]) -> TarEntry:
    name, mode, uid, gid, _, mtime, _, _, link, magic, _, _, _, major, minor, prefix = _HEADER.unpack(header)
    name = name.partition(b"\0")[0]
    if magic == b"ustar\0" and prefix[0]:
        name = prefix.partition(b"\0")[0] + b"/" + name
    name = records.get(b"path", name)
    if kind in (b"\0", b"7"):
        kind = FOLDER if name.endswith(b"/") else FILE
    if kind not in _KINDS and kind != b"V":
        raise ArchiveError(f"The archive has an entry of the unknown kind {kind!r}: {format_name(name)}.")
    device = kind in (CHARACTER_DEVICE, BLOCK_DEVICE)
    entry = TarEntry(
        clean_name(name),
        kind,
        _parse_number(mode) & 0o7777,
        _choose_number(records.get(b"uid"), _SIZE, _parse_number(uid)),
        _choose_number(records.get(b"gid"), _SIZE, _parse_number(gid)),
        _choose_number(records.get(b"size"), _SIZE, size) if kind == FILE else 0,
        _choose_number(records.get(b"mtime"), _TIME, _parse_number(mtime)),
        records.get(b"linkpath", link.partition(b"\0")[0]) if kind in (HARD_LINK, SYMBOLIC_LINK) else b"",
        _parse_number(major) if device else 0,
        _parse_number(minor) if device else 0,
    )
    if records:
        entry.xattrs = _select_xattrs(records)
    if kind == HARD_LINK:
        entry.link = clean_name(entry.link)
    return entry


class _Window:
    """The part of a file from `start` on, for `tarfile`."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self.file, self.start, self.position = file, start, 0

    def tell(self) -> int:
        return self.position

    def seek(self, position: int) -> int:
        self.position = position
        return position

    def read(self, size: int) -> bytes:
        self.file.seek(self.start + self.position)
        data = self.file.read(size)
        self.position += len(data)
        return data


def _read_sparse(file: BinaryIO, start: int, end: int) -> tuple[TarEntry, int]:
    """The entry and the position of the next one. The four formats of sparse files are rare: `tarfile` reads them."""
    try:
        with tarfile.open(fileobj=_Window(file, start), mode="r:") as tar:  # type: ignore[call-overload]
            info = tar.next()
            following = start + tar.offset
    except (tarfile.TarError, ValueError, OSError, ArithmeticError, LookupError, RecursionError) as error:
        raise ArchiveError(f"The archive has a damaged sparse file: {error}.") from error
    if info is None or info.sparse is None or info.size > _MAX_SPARSE or following > end:
        raise ArchiveError("The archive has a sparse file that is damaged or larger than 8 GiB.")
    name = info.name.encode("utf-8", "surrogateescape")
    entry = TarEntry(clean_name(name), FILE, info.mode & 0o7777, info.uid, info.gid, info.size, int(info.mtime))
    entry.offset, entry.holes = start + info.offset_data, tuple(info.sparse)
    return entry, following
