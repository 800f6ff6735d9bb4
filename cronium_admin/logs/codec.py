"""Encodes a chunk's lines: an index of entries (stream, number of lines, time) and the compressed text."""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import zstandard

from cronium_admin.core.errors import ApiError

_ENTRY = struct.Struct("<BIq")  # stream 1 or 2, lines, unix nanoseconds
_RAW, _ZSTD = b"\x00", b"\x01"
MIN_COMPRESSED_BYTES = 512  # bytes; below that the frame header costs more than compression saves
MAX_CHUNK_BYTES = 64 * 1024 * 1024


class IndexEntry(NamedTuple):
    """`lines` consecutive lines of one stream, received together."""

    stream: int
    lines: int
    unix_ns: int


class Line(NamedTuple):
    """One line; `text` is the bytes as written, without the newline."""

    seq: int
    unix_ns: int
    stream: int
    text: bytes


class LogDamaged(ApiError):
    """Stored data is missing or was changed."""

    def __init__(self) -> None:
        super().__init__(502, "log_damaged", "A part of this log is missing or was changed after it was stored.")


def pack_index(entries: Iterable[IndexEntry]) -> bytes:
    return b"".join(_ENTRY.pack(*entry) for entry in entries)


def unpack_index(data: bytes) -> list[IndexEntry]:
    try:
        return [IndexEntry(*values) for values in _ENTRY.iter_unpack(data)]
    except struct.error as error:
        raise LogDamaged from error


def pack_text(text: bytes) -> bytes:
    if len(text) < MIN_COMPRESSED_BYTES:
        return _RAW + text
    # Level 1: level 3 costs more and compresses these texts no better (docs/architecture.md).
    return _ZSTD + zstandard.ZstdCompressor(level=1).compress(text)


def unpack_text(data: bytes) -> bytes:
    kind, body = data[:1], data[1:]
    if kind == _RAW:
        return body
    try:
        # The decompressor ignores max_output_size if the frame header contains the size, as it does here.
        if zstandard.frame_content_size(body) > MAX_CHUNK_BYTES:
            raise LogDamaged
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=MAX_CHUNK_BYTES)
    except zstandard.ZstdError as error:
        raise LogDamaged from error


def unpack_lines(first_seq: int, index: bytes, data: bytes) -> Iterator[Line]:
    texts = iter(unpack_text(data).split(b"\n"))
    seq = first_seq
    for stream, count, unix_ns in unpack_index(index):
        for _ in range(count):
            if (text := next(texts, None)) is None:
                raise LogDamaged
            yield Line(seq, unix_ns, stream, text)
            seq += 1
