"""Finds lines in a run's stored log: by text, regular expression and stream, for as long as the caller gives it.

Expressions are RE2's (google-re2): they take time in proportion to the text, whatever they say.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

import re2

from cronium_admin.logs import read
from cronium_admin.logs.codec import Line, lines_of, unpack_index
from cronium_admin.logs.models import LogChunk

MAX_QUERY = 1000  # characters
SECONDS = 1.0
Find = Callable[[bytes, int], int]  # the first match in a text from a place on, or -1


class BadQuery(ValueError):
    """What was asked for is no regular expression; `str()` says why."""


@dataclass(frozen=True)
class Query:
    """Which lines: those with `text` (all for an empty one) on `stream` (1, 2, or 0 for both)."""

    text: str = ""
    regex: bool = False
    ignore_case: bool = False
    stream: int = 0

    def finder(self) -> Find:
        """Raises BadQuery."""
        try:
            wanted = self.text.encode()
        except UnicodeEncodeError as error:
            raise BadQuery("half a surrogate pair is no text") from error
        if "\n" in self.text:
            raise BadQuery("a line holds no newline; look for one line at a time")
        if not self.regex and not self.ignore_case:
            return lambda text, at: text.find(wanted, at)
        options = re2.Options()
        options.never_nl = True  # a match lies within a line
        options.log_errors = False
        options.case_sensitive = not self.ignore_case
        options.literal = not self.regex
        try:
            pattern = re2.compile(b"(?m)" + wanted if self.regex else wanted, options)
        except re2.error as error:
            raise BadQuery(_words(error)) from error

        def find(text: bytes, at: int) -> int:
            match = pattern.search(text, at)
            return match.start() if match else -1

        return find


def _words(error: Exception) -> str:
    told = error.args[0] if error.args else ""
    words = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
    return words.replace("(?m)", "")


@dataclass(frozen=True)
class Found:
    """The lines that match, as runs of neighbours (first and last seq), and the last seq that was looked at."""

    ranges: list[tuple[int, int]]
    looked: int

    @property
    def count(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)


def find(run_id: UUID, query: Query, after: int, max_ranges: int, seconds: float = SECONDS) -> Found:
    """The matching lines past `after`, until there are `max_ranges` runs of them or the time is over."""
    ranges: list[tuple[int, int]] = []
    looked = after
    for chunk, numbers in _matching(run_id, query, after, seconds):
        for number in numbers:
            seq = chunk.first_seq + number
            if ranges and ranges[-1][1] == seq - 1:
                ranges[-1] = ranges[-1][0], seq
            elif len(ranges) == max_ranges:
                return Found(ranges, ranges[-1][1])
            else:
                ranges.append((seq, seq))
        looked = max(looked, chunk.first_seq + chunk.lines - 1)
    return Found(ranges, looked)


def lines(
    run_id: UUID, query: Query, after: int, limit: int, max_bytes: int, seconds: float = SECONDS
) -> tuple[list[Line], int]:
    """The matching lines themselves, up to `limit` of them and `max_bytes`, and the last seq that was looked at."""
    found: list[Line] = []
    size, looked = 0, after
    for chunk, numbers in _matching(run_id, query, after, seconds):
        wanted = {chunk.first_seq + number for number in numbers}
        for line in lines_of(chunk.first_seq, bytes(chunk.index), read.data_of(chunk)) if wanted else ():
            if line.seq not in wanted:
                continue
            size += len(line.text)
            if found and (len(found) == limit or size > max_bytes):
                return found, found[-1].seq
            found.append(line)
        looked = max(looked, chunk.first_seq + chunk.lines - 1)
    return found, looked


def _matching(run_id: UUID, query: Query, after: int, seconds: float) -> Iterator[tuple[LogChunk, list[int]]]:
    """Each chunk past `after` with the numbers, from 0, of its lines that match and lie past it; at least one chunk,
    however little the time."""
    find, end = query.finder(), time.monotonic() + seconds
    for chunk in read.chunks(run_id, after, batch=16, ahead=read.WHOLE_AHEAD):
        streams = _of_stream(chunk, query.stream) if query.stream else None
        if streams is not None and not any(streams):
            numbers: list[int] = []
        elif query.text:
            numbers = _numbers(read.text_of(chunk), find)
        else:
            numbers = list(range(chunk.lines))
        skip = after - chunk.first_seq
        yield chunk, [n for n in numbers if n > skip and (streams is None or streams[n])]
        if time.monotonic() > end:
            return


def _of_stream(chunk: LogChunk, stream: int) -> bytes:
    """A byte a line of the chunk: 1 where it is of `stream`."""
    return b"".join(
        (b"\1" if entry.stream == stream else b"\0") * entry.lines for entry in unpack_index(bytes(chunk.index))
    )


def _numbers(text: bytes, find: Find) -> list[int]:
    """The numbers of the lines, from 0, in which something is found; each line once."""
    found: list[int] = []
    at = number = 0
    while at < len(text) and 0 <= (hit := find(text, at)) < len(text):
        number += text.count(b"\n", at, hit)
        found.append(number)
        at = text.find(b"\n", hit) + 1 or len(text)
        number += 1
    return found
