"""Finds lines in a run's stored log: by text, regular expression and stream, for as long as the caller gives it.

Expressions are RE2's (google-re2): they take time in proportion to the text and to their own size, whatever they say.
Both are bounded, and the clock is looked at between parts of a few lines.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

import re2

from cronium_admin.logs import read
from cronium_admin.logs.codec import Line, unpack_index, unpack_lines
from cronium_admin.logs.models import LogChunk

MAX_QUERY = 1000  # characters
SECONDS = 1.0
# In instructions of RE2's: measured, 1000 of them take some 4 s for a MB of the worst text.
MAX_PROGRAM = 10_000
# Instructions times bytes: what may be done between two looks at the clock, and for one line.
PART_STEPS, MAX_STEPS = 16 * 10**6, 200 * 10**6
LEAST_PART = 1024  # bytes


IsCancelled = Callable[[], bool]  # whether nobody waits for the answer any more


def _never_cancelled() -> bool:
    return False


class InvalidQuery(ValueError):
    """What was asked for is no regular expression, or takes too long; `str()` says why."""


@dataclass(frozen=True)
class Matcher:
    """`find` gives the first match in a text from one place up to another, or -1; `part` says how many bytes of whole
    lines, at least one, it is given at a time."""

    find: Callable[[bytes, int, int], int]
    part_bytes: int = PART_STEPS


@dataclass(frozen=True)
class Query:
    """Which lines: those with `text` (all for an empty one) on `stream` (1, 2, or 0 for both)."""

    text: str = ""
    regex: bool = False
    ignore_case: bool = False
    stream: int = 0

    def compile_matcher(self) -> Matcher:
        """Raises BadQuery."""
        try:
            wanted = self.text.encode()
        except UnicodeEncodeError as error:
            raise InvalidQuery("half a surrogate pair is no text") from error
        if "\n" in self.text:
            raise InvalidQuery("a line holds no newline; look for one line at a time")
        if not self.regex and not self.ignore_case:
            return Matcher(lambda text, at, end: text.find(wanted, at, end))
        options = re2.Options()
        options.never_nl = True  # a match lies within a line
        options.log_errors = False
        options.case_sensitive = not self.ignore_case
        options.literal = not self.regex
        try:
            pattern = re2.compile(b"(?m)" + wanted if self.regex else wanted, options)
        except re2.error as error:
            raise InvalidQuery(_format_error(error)) from error
        size = pattern.programsize
        if size > MAX_PROGRAM:
            raise InvalidQuery("it is too large; repeat less, or look for a part of it")

        def find(text: bytes, at: int, end: int) -> int:
            if (end - at) * size > MAX_STEPS:
                raise InvalidQuery(
                    f"it is too large for a line of {end - at:,} bytes; make it simpler, or look for a text"
                )
            match = pattern.search(text, at, end)
            return match.start() if match else -1

        return Matcher(find, max(LEAST_PART, PART_STEPS // size))


def _format_error(error: Exception) -> str:
    told = error.args[0] if error.args else ""
    words = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
    return words.replace("(?m)", "")


@dataclass(frozen=True)
class SearchResult:
    """The lines that match, as runs of neighbours (first and last seq), and the last seq that was looked at."""

    ranges: list[tuple[int, int]]
    searched_to: int

    @property
    def count(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)


def find_ranges(
    run_id: UUID,
    query: Query,
    after: int,
    max_ranges: int,
    seconds: float = SECONDS,
    is_cancelled: IsCancelled = _never_cancelled,
) -> SearchResult:
    """The matching lines past `after`, until there are `max_ranges` runs of them or the time is over."""
    ranges: list[tuple[int, int]] = []
    looked = after
    for chunk, numbers, upto in _search_chunks(run_id, query, after, seconds, is_cancelled):
        for number in numbers:
            seq = chunk.first_seq + number
            if ranges and ranges[-1][1] == seq - 1:
                ranges[-1] = ranges[-1][0], seq
            elif len(ranges) == max_ranges:
                return SearchResult(ranges, ranges[-1][1])
            else:
                ranges.append((seq, seq))
        looked = max(looked, chunk.first_seq + upto - 1)
    return SearchResult(ranges, looked)


def find_lines(
    run_id: UUID,
    query: Query,
    after: int,
    limit: int,
    max_bytes: int,
    seconds: float = SECONDS,
    is_cancelled: IsCancelled = _never_cancelled,
) -> tuple[list[Line], int]:
    """The matching lines themselves, up to `limit` of them and `max_bytes`, and the last seq that was looked at."""
    found: list[Line] = []
    size, looked = 0, after
    for chunk, numbers, upto in _search_chunks(run_id, query, after, seconds, is_cancelled):
        wanted = {chunk.first_seq + number for number in numbers}
        for line in unpack_lines(chunk.first_seq, bytes(chunk.index), read.read_packed(chunk)) if wanted else ():
            if line.seq not in wanted:
                continue
            size += len(line.text)
            if found and (len(found) == limit or size > max_bytes):
                return found, found[-1].seq
            found.append(line)
        looked = max(looked, chunk.first_seq + upto - 1)
    return found, looked


def _search_chunks(
    run_id: UUID, query: Query, after: int, seconds: float, is_over: IsCancelled
) -> Iterator[tuple[LogChunk, list[int], int]]:
    """Each chunk past `after`, with the numbers, from 0, of its lines that match and lie past it, and up to which of
    its lines was looked; at least one part of one chunk, however little the time."""
    finder, end = query.compile_matcher(), time.monotonic() + seconds

    def is_time_over() -> bool:
        return time.monotonic() > end or is_over()

    for chunk in read.iterate_chunks(run_id, after, batch=16, ahead=read.DOWNLOAD_READ_AHEAD):
        skip = min(max(0, after - chunk.first_seq + 1), chunk.lines)
        streams = _mark_stream(chunk, query.stream) if query.stream else None
        upto = chunk.lines
        if streams is not None and not any(streams):
            numbers: list[int] = []
        elif query.text:
            numbers, upto = _find_line_numbers(read.read_chunk_text(chunk), chunk.lines, skip, finder, is_time_over)
        else:
            numbers = list(range(skip, chunk.lines))
        yield chunk, [n for n in numbers if streams is None or streams[n]], upto
        if upto < chunk.lines or is_time_over():
            return


def _mark_stream(chunk: LogChunk, stream: int) -> bytes:
    """A byte a line of the chunk: 1 where it is of `stream`."""
    return b"".join(
        (b"\1" if entry.stream == stream else b"\0") * entry.lines for entry in unpack_index(bytes(chunk.index))
    )


def _find_line_numbers(
    text: bytes, lines: int, skip: int, finder: Matcher, is_time_over: IsCancelled
) -> tuple[list[int], int]:
    """The numbers of the lines, from 0, past the first `skip` in which something is found, each once; and up to which
    of the `lines` was looked before the time was over."""
    found: list[int] = []
    at = counted = _find_line_start(text, skip)
    number = skip  # of the line at `counted`
    while at < len(text):
        end = text.find(b"\n", min(at + finder.part_bytes, len(text)) - 1) + 1 or len(text)
        while at < end and 0 <= (hit := finder.find(text, at, end)) < end:
            number += text.count(b"\n", counted, hit)
            found.append(number)
            at = counted = text.find(b"\n", hit) + 1 or len(text)
            number += 1
        at = end
        if at < len(text) and is_time_over():
            return found, number + text.count(b"\n", counted, at)
    return found, lines


def _find_line_start(text: bytes, number: int) -> int:
    """Where line `number`, from 0, begins."""
    at = 0
    for _ in range(number):
        at = text.find(b"\n", at) + 1
    return at
