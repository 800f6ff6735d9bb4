"""Searches a run's stored log by text, regular expression and stream, within a time limit.

Expressions are RE2 (google-re2): their time is proportional to the size of the text and of the expression. Both are
bounded, and the time limit is checked between parts of a few lines.
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
# RE2 instructions. Measured: 1000 instructions take about 4 s for 1 MB of the worst text.
MAX_PROGRAM = 10_000
# Instructions times bytes: the maximum between two checks of the time limit, and for one line.
PART_STEPS, MAX_STEPS = 16 * 10**6, 200 * 10**6
LEAST_PART = 1024  # bytes


IsCancelled = Callable[[], bool]  # whether the client has disconnected


def _is_never_cancelled() -> bool:
    return False


class InvalidQuery(ValueError):
    """The query is not a valid expression, or takes too long; `str()` says why."""


@dataclass(frozen=True)
class Matcher:
    """`find(text, start, end)` returns the offset of the first match, or -1. Call it with about `part_bytes` bytes of
    complete lines."""

    find: Callable[[bytes, int, int], int]
    part_bytes: int = PART_STEPS


@dataclass(frozen=True)
class Query:
    """Selects lines with `text` (empty: all lines) on `stream` (1, 2, or 0 for both)."""

    text: str = ""
    regex: bool = False
    ignore_case: bool = False
    stream: int = 0

    def compile_matcher(self) -> Matcher:
        try:
            pattern_text = self.text.encode()
        except UnicodeEncodeError as error:
            raise InvalidQuery("the text contains half a surrogate pair") from error
        if "\n" in self.text:
            raise InvalidQuery("a line contains no newline; search for one line at a time")
        if not self.regex and not self.ignore_case:
            return Matcher(lambda text, start, end: text.find(pattern_text, start, end))
        options = re2.Options()
        options.never_nl = True  # a match is within a line
        options.log_errors = False
        options.case_sensitive = not self.ignore_case
        options.literal = not self.regex
        try:
            pattern = re2.compile(b"(?m)" + pattern_text if self.regex else pattern_text, options)
        except re2.error as error:
            raise InvalidQuery(_format_error(error)) from error
        size = pattern.programsize
        if size > MAX_PROGRAM:
            raise InvalidQuery("the expression is too large; use smaller repetitions, or search for a part of it")

        def find(text: bytes, start: int, end: int) -> int:
            if (end - start) * size > MAX_STEPS:
                raise InvalidQuery(f"the expression is too large for a line of {end - start:,} bytes; simplify it")
            match = pattern.search(text, start, end)
            return match.start() if match else -1

        return Matcher(find, max(LEAST_PART, PART_STEPS // size))


def _format_error(error: Exception) -> str:
    raw = error.args[0] if error.args else ""
    message = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    return message.replace("(?m)", "")


@dataclass(frozen=True)
class SearchResult:
    """Ranges (first, last) of consecutive matching lines, and the last line that was searched."""

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
    is_cancelled: IsCancelled = _is_never_cancelled,
) -> SearchResult:
    ranges: list[tuple[int, int]] = []
    searched_to = after
    for chunk, numbers, searched_lines in _search_chunks(run_id, query, after, seconds, is_cancelled):
        for number in numbers:
            seq = chunk.first_seq + number
            if ranges and ranges[-1][1] == seq - 1:
                ranges[-1] = ranges[-1][0], seq
            elif len(ranges) == max_ranges:
                return SearchResult(ranges, ranges[-1][1])
            else:
                ranges.append((seq, seq))
        searched_to = max(searched_to, chunk.first_seq + searched_lines - 1)
    return SearchResult(ranges, searched_to)


def find_lines(
    run_id: UUID,
    query: Query,
    after: int,
    limit: int,
    max_bytes: int,
    seconds: float = SECONDS,
    is_cancelled: IsCancelled = _is_never_cancelled,
) -> tuple[list[Line], int]:
    matches: list[Line] = []
    size, searched_to = 0, after
    for chunk, numbers, searched_lines in _search_chunks(run_id, query, after, seconds, is_cancelled):
        seqs = {chunk.first_seq + number for number in numbers}
        for line in unpack_lines(chunk.first_seq, bytes(chunk.index), read.read_packed(chunk)) if seqs else ():
            if line.seq not in seqs:
                continue
            size += len(line.text)
            if matches and (len(matches) == limit or size > max_bytes):
                return matches, matches[-1].seq
            matches.append(line)
        searched_to = max(searched_to, chunk.first_seq + searched_lines - 1)
    return matches, searched_to


def _search_chunks(
    run_id: UUID, query: Query, after: int, seconds: float, is_cancelled: IsCancelled
) -> Iterator[tuple[LogChunk, list[int], int]]:
    """Yields each chunk after `after`, the numbers (from 0) of its matching lines, and how many of its lines were
    searched. Searches at least one part of one chunk, even if the time limit is reached."""
    matcher, end = query.compile_matcher(), time.monotonic() + seconds

    def is_time_over() -> bool:
        return time.monotonic() > end or is_cancelled()

    for chunk in read.iterate_chunks(run_id, after, batch=16, ahead=read.DOWNLOAD_READ_AHEAD):
        skip = min(max(0, after - chunk.first_seq + 1), chunk.lines)
        streams = _mark_stream(chunk, query.stream) if query.stream else None
        searched_lines = chunk.lines
        if streams is not None and not any(streams):
            numbers: list[int] = []
        elif query.text:
            numbers, searched_lines = _find_line_numbers(
                read.read_chunk_text(chunk), chunk.lines, skip, matcher, is_time_over
            )
        else:
            numbers = list(range(skip, chunk.lines))
        yield chunk, [n for n in numbers if streams is None or streams[n]], searched_lines
        if searched_lines < chunk.lines or is_time_over():
            return


def _mark_stream(chunk: LogChunk, stream: int) -> bytes:
    return b"".join(
        (b"\1" if entry.stream == stream else b"\0") * entry.lines for entry in unpack_index(bytes(chunk.index))
    )


def _find_line_numbers(
    text: bytes, lines: int, skip: int, matcher: Matcher, is_time_over: IsCancelled
) -> tuple[list[int], int]:
    """The numbers (from 0) of the matching lines after the first `skip` lines, each once; and how many of the `lines`
    were searched before the time limit."""
    matches: list[int] = []
    position = counted = _find_line_start(text, skip)
    number = skip  # of the line at `counted`
    while position < len(text):
        end = text.find(b"\n", min(position + matcher.part_bytes, len(text)) - 1) + 1 or len(text)
        while position < end and 0 <= (hit := matcher.find(text, position, end)) < end:
            number += text.count(b"\n", counted, hit)
            matches.append(number)
            position = counted = text.find(b"\n", hit) + 1 or len(text)
            number += 1
        position = end
        if position < len(text) and is_time_over():
            return matches, number + text.count(b"\n", counted, position)
    return matches, lines


def _find_line_start(text: bytes, number: int) -> int:
    position = 0
    for _ in range(number):
        position = text.find(b"\n", position) + 1
    return position
