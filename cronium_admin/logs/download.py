"""The HTTP response of `logs.txt`: the whole log or a byte range of it, plain or gzip."""

import re
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import chain
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header, parse_etags

from cronium_admin.logs import read
from cronium_admin.logs.live import tail

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
# gzip is listed and its weight is not 0.
_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)", re.IGNORECASE)
GZIP_LEVEL = 3


@dataclass(frozen=True)
class ByteRange:
    """The bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int


class RangeNotSatisfiable(Exception):
    """The range begins past the end."""


def parse_range(header: str, size: int) -> ByteRange | None:
    """None if the Range header must be ignored (another unit, several ranges, invalid)."""
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if not match or match[0] == "bytes=-" or any(len(number) > 18 for number in match.groups()):
        return None
    first, last = match.groups()
    if not first:
        part = ByteRange(max(0, size - int(last)), size)
    else:
        part = ByteRange(int(first), min(int(last) + 1, size) if last else size)
        if last and int(last) < int(first):
            return None
    if part.start >= part.stop:
        raise RangeNotSatisfiable
    return part


def make_response(request: HttpRequest, run_id: UUID, state: read.LogState) -> HttpResponseBase:
    tag = f'"{state.digest}"' if state.has_ended and state.digest else ""
    # The gzip form has the same tag as a weak one. For If-None-Match both are equal.
    client_tags = [etag.removeprefix("W/") for etag in parse_etags(request.headers.get("If-None-Match", ""))]
    if tag and (tag in client_tags or "*" in client_tags):
        return _set_headers(HttpResponse(status=304), state, tag)
    range_header = request.headers.get("Range", "")
    if request.headers.get("If-Range", tag) != tag:
        range_header = ""
    try:
        part = parse_range(range_header, state.bytes) if range_header else None
    except RangeNotSatisfiable:
        refused = HttpResponse(status=416, headers={"Content-Range": f"bytes */{state.bytes}"})
        return _set_headers(refused, state, tag)
    response: HttpResponseBase
    if part is None and _GZIP.search(request.headers.get("Accept-Encoding", "")):
        response = _stream_blocks(_compress_blocks(read.read_text(run_id, 0, state.bytes)))
        response["Content-Encoding"] = "gzip"
        return _set_headers(response, state, tag and f"W/{tag}")
    byte_range = part or ByteRange(0, state.bytes)
    response = _stream_blocks(read.read_text(run_id, byte_range.start, byte_range.stop), 206 if part else 200)
    response["Content-Length"] = str(byte_range.stop - byte_range.start)  # the client notices a truncated response
    if part:
        response["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{state.bytes}"
    return _set_headers(response, state, tag)


def _stream_blocks(blocks: Iterator[bytes], status: int = 200) -> StreamingHttpResponse:
    # The first block is read at once: if the archive is not available, the client gets an error, not truncated text.
    blocks = chain([next(blocks, b"")], blocks)
    return StreamingHttpResponse(_iterate_in_threads(blocks), content_type="text/plain; charset=utf-8", status=status)


def _set_headers(response: HttpResponseBase, state: read.LogState, tag: str) -> HttpResponseBase:
    response["Content-Disposition"] = content_disposition_header(True, state.file_name) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    response["Accept-Ranges"] = "bytes"
    response["Vary"] = "Accept-Encoding, Authorization, Cookie"
    if tag:
        response["ETag"] = tag
    return response


def _compress_blocks(blocks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for block in blocks:
        if packed := packer.compress(block):
            yield packed
    yield packer.flush()


async def _iterate_in_threads(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    def following() -> bytes | None:
        return next(blocks, None)

    reading = sync_to_async(following, thread_sensitive=False, executor=tail.archive_threads)
    while (block := await reading()) is not None:
        yield block
