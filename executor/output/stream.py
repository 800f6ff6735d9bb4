"""From blocks of a container's output to batches of whole lines, with the cursor. Stores nothing itself.

Works on whole blocks: no object is made for a line on the way in.
"""

import time
from collections.abc import Callable
from typing import Protocol

from executor.docker.attachment import Attachment
from executor.docker.errors import EngineError, LogCut
from executor.output.masking import Masker
from executor.spec import MB, Batch, Cursor, Dropped, Gap, Segment

GAP, STDOUT, STDERR = 0, 1, 2
ENGINE_LOST, ENGINE_RESTARTED, ROTATED, UNCOUNTED = "engine_lost", "engine_restarted", "rotated", "uncounted"
SPLIT = "split"  # nothing is lost: the line goes on in the next one
BLOCK_BYTES = 256 * 1024
FLUSH_BYTES = 256 * 1024
FLUSH_SECONDS = 0.05
MAX_LINE_BYTES = MB  # a longer line is stored in pieces of this size
TAIL_SHOWN_BYTES = 16 * 1024  # how much of a begun line is stored while it waits for its end
# A log is full at its limit of bytes, or of lines: each counts as so many bytes at least, for that is what a line
# costs the engine in its own file, which must not rotate before.
LEAST_LINE_BYTES = 10
CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
DROPPING_SECONDS = 1.0  # between two counts of what is dropped
# Stream, bytes, when they came in unix nanoseconds; of the "stream" GAP the bytes are a gap's cause.
Piece = tuple[int, bytes, int]


def count_torn_bytes(data: bytes) -> int:
    """How many bytes at the end of `data` begin a character of UTF-8 that goes on behind it; 0 to 3."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte not in CONTINUATION_BYTES:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return back if length > back and byte < 0xF8 else 0
    return 0


class FrameParser:
    """Takes the engine's multiplexed blocks apart: 8 bytes of header (stream, length), then the bytes."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._missing = 0

    def feed(self, block: bytes) -> list[tuple[int, bytes]]:
        """The (stream, bytes) runs in `block`; neighbours of one stream come joined."""
        runs: list[tuple[int, list[bytes]]] = []
        at, end = 0, len(block)
        while at < end:
            if not self._missing:
                take = min(8 - len(self._header), end - at)
                self._header += block[at : at + take]
                at += take
                if len(self._header) < 8:
                    break
                self._stream = self._header[0]
                self._missing = int.from_bytes(self._header[4:], "big")
                self._header = b""
                continue
            part = block[at : at + self._missing]
            at += len(part)
            self._missing -= len(part)
            if runs and runs[-1][0] == self._stream:
                runs[-1][1].append(part)
            else:
                runs.append((self._stream, [part]))
        return [(stream, b"".join(parts)) for stream, parts in runs]


class Source(Protocol):
    """Where the bytes of a container's output come from. One reader; `close` from any thread."""

    surplus: dict[int, Cursor]  # by stream, told with a gap: what is stored and not in the engine's log any more
    received: int  # bytes that came over the connection

    def read(self, timeout: float | None) -> list[Piece] | None:
        """What came, in order; None when `timeout` seconds brought nothing. An empty list is not the end.

        Raises EOFError once all that the container wrote was read, LogCut when the reading ended before
        that (the connection broke, or `close`), and any other EngineError where there is nothing to read.
        """
        ...

    def text_before(self, stream: int) -> bytes:
        """The end of what stands in the same line before the first bytes read; empty at a line's start."""
        ...

    def close(self) -> None:
        """End the reading and wake the reader. Twice does no harm."""
        ...


class AttachedSource:
    """The streams of a container that was attached to before its start: exact, and the fastest way.

    Its end alone does not tell an exit from an engine that went away: `exited` is asked then, and may wait.
    """

    def __init__(self, attachment: Attachment, exited: Callable[[], bool] = lambda: True) -> None:
        self._attachment = attachment
        self._exited = exited
        self._frames = FrameParser()
        self._closed = False
        self.surplus: dict[int, Cursor] = {}
        self.received = 0

    def read(self, timeout: float | None) -> list[Piece] | None:
        block = self._attachment.recv(BLOCK_BYTES, timeout)
        if block is None:
            return None
        self.received += len(block)
        if block == b"":
            if self._closed or not self._exited():
                raise LogCut("The reading of the script's output was cut off while it ran.")
            raise EOFError
        now = time.time_ns()
        return [(stream, data, now) for stream, data in self._frames.feed(block)]

    def text_before(self, stream: int) -> bytes:
        return b""

    def close(self) -> None:
        self._closed = True
        self._attachment.close()


class LineAssembler:
    """Gathers bytes into segments of whole lines and keeps the begun line of each stream.

    Once it is full it drops what comes and counts it in `dropped`. Nothing leaves it
    with a secret that `masker` knows; limit and cursors count what was read, before that. `stdout` and
    `stderr` are where it goes on with a log of which a part is stored: the cursors of its last batch.
    """

    def __init__(
        self,
        limit_bytes: int,
        masker: Masker | None = None,
        stdout: Cursor = Cursor(),  # noqa: B008 - frozen
        stderr: Cursor = Cursor(),  # noqa: B008
        dropped: Dropped = Dropped(),  # noqa: B008
    ) -> None:
        self._limit = limit_bytes
        self._gaps: list[Gap] = []
        self._pending_lines = 0
        self.dropped = dropped
        self.is_full = dropped != Dropped()
        self._masker = masker or Masker()
        self._segments: list[Segment] = []
        self._tails = {STDOUT: b"", STDERR: b""}
        self._befores = {STDOUT: b"", STDERR: b""}  # what went before the tail in the same line, as far as it matters
        self._cursors = {STDOUT: stdout, STDERR: stderr}
        self._unplaced = {stream for stream, cursor in self._cursors.items() if cursor.bytes}
        self.pending_bytes = 0
        self.total_bytes = stdout.bytes + stderr.bytes
        self._total_lines = stdout.lines + stderr.lines
        self.has_changes = False  # something is there that `take` would bring

    @property
    def stdout(self) -> Cursor:
        """How much of it was given out; after `take`, what is stored once that batch is."""
        return self._cursors[STDOUT]

    @property
    def stderr(self) -> Cursor:
        return self._cursors[STDERR]

    def feed_from(self, source: Source, pieces: list[Piece]) -> None:
        """Take what `source` has read."""
        for stream, data, unix_ns in pieces:
            if stream == GAP:
                self._record_gap(data.decode(), source)
                continue
            if stream in self._unplaced:
                # A secret may lie across the border between what is stored and what comes now.
                self._befores[stream] = self._keep_context(source.text_before(stream))
                self._unplaced.discard(stream)
            self.feed(stream, data, unix_ns)

    def _record_gap(self, cause: str, source: Source) -> None:
        """Whoever reads the engine's log again must skip what is in it, and no more."""
        for stream, more in source.surplus.items():
            stands = self._cursors[stream]
            self._cursors[stream] = Cursor(max(0, stands.lines - more.lines), max(0, stands.bytes - more.bytes))
        source.surplus.clear()
        self._gaps.append(Gap(self._pending_lines, cause))
        self.has_changes = True
        if cause == ROTATED:  # the engine's file turns over only once more was written than a log may hold
            self.is_full = True

    def _cut_to_limit(self, data: bytes) -> bytes:
        """As much of `data` as the log may hold yet; the rest is counted."""
        keep = b"" if self.is_full else data[: max(0, self._limit - self.total_bytes)]
        lines, room = keep.count(b"\n"), self._limit // LEAST_LINE_BYTES - self._total_lines
        if lines > room:
            keep = b"".join(line + b"\n" for line in keep.split(b"\n", room)[:room])
            lines = room
        self.total_bytes += len(keep)
        self._total_lines += lines
        if rest := data[len(keep) :]:
            self.is_full = True
            self.dropped = Dropped(self.dropped.lines + rest.count(b"\n"), self.dropped.bytes + len(rest))
        return keep

    def feed(self, stream: int, data: bytes, unix_ns: int) -> None:
        if not (data := self._cut_to_limit(data)):
            return
        self.has_changes = True
        cut = data.rfind(b"\n") + 1
        if cut:
            read = self._tails[stream] + data[:cut]
            text = self._masker.mask(read, self._befores[stream])
            self._add_segment(stream, text, unix_ns, len(read), text.count(b"\n"))
            self._tails[stream], self._befores[stream] = data[cut:], b""
        else:
            self._tails[stream] += data
        # What follows the border decides too whether a secret lies across it.
        while len(self._tails[stream]) >= MAX_LINE_BYTES + self._masker.context_bytes:
            self._add_piece(stream, unix_ns)

    def _keep_context(self, text: bytes) -> bytes:
        return text[-self._masker.context_bytes :] if self._masker.context_bytes else b""

    def _add_piece(self, stream: int, unix_ns: int) -> None:
        tail, before, reach = self._tails[stream], self._befores[stream], self._masker.context_bytes
        cut = MAX_LINE_BYTES - count_torn_bytes(tail[:MAX_LINE_BYTES])
        piece, rest = tail[:cut], tail[cut:]
        self._add_segment(stream, self._masker.mask(piece, before, rest[:reach]) + b"\n", unix_ns, len(piece), 0)
        self._tails[stream], self._befores[stream] = rest, self._keep_context(piece)
        self._gaps.append(Gap(self._pending_lines, SPLIT))

    def _add_segment(self, stream: int, text: bytes, unix_ns: int, read_bytes: int, read_lines: int) -> None:
        """One segment, for which so many bytes and newlines of the stream were read."""
        self._segments.append(Segment(stream, read_lines or 1, unix_ns, text))
        self._pending_lines += read_lines or 1
        self.pending_bytes += len(text)
        stands = self._cursors[stream]
        self._cursors[stream] = Cursor(stands.lines + read_lines, stands.bytes + read_bytes)

    def end_lines(self, unix_ns: int) -> None:
        """The stream is over: begun lines become lines."""
        for stream, tail in self._tails.items():
            if tail:
                text = self._masker.mask_cut_line(tail, self._befores[stream]) + b"\n"
                self._add_segment(stream, text, unix_ns, len(tail), 0)
                self._tails[stream], self._befores[stream] = b"", self._keep_context(tail)
                self.has_changes = True

    def _make_visible_tail(self, stream: int) -> bytes:
        shown = self._masker.mask_tail(self._tails[stream], self._befores[stream], TAIL_SHOWN_BYTES)
        if len(self._tails[stream]) > TAIL_SHOWN_BYTES:  # its first character may have lost its beginning
            shown = shown[:3].lstrip(CONTINUATION_BYTES) + shown[3:]
        return shown[: len(shown) - count_torn_bytes(shown)]

    def take_batch(self) -> Batch:
        """All that has gathered since the last `take`."""
        batch = Batch(
            segments=tuple(self._segments),
            stdout=self._cursors[STDOUT],
            stderr=self._cursors[STDERR],
            stdout_tail=self._make_visible_tail(STDOUT),
            stderr_tail=self._make_visible_tail(STDERR),
            gaps=tuple(self._gaps),
            dropped=self.dropped,
        )
        self._segments, self._gaps, self._pending_lines = [], [], 0
        self.pending_bytes = 0
        self.has_changes = False
        return batch


def follow_output(
    source: Source, store: Callable[[Batch], None], lines: LineAssembler, over_limit: Callable[[], None]
) -> None:
    """Read to the end of the output and hand every batch to `store`: at once after quiet, then in bundles.

    A slow `store` holds the reading, and with it the container, back. Returns when the last batch is stored.
    When the reading is cut off, what has come is stored, begun lines stay begun, and LogCut (or what else
    `source` says) is raised: a resumed source and a new assembler go on from `lines.stdout` and `lines.stderr`.
    """
    try:
        _read_batches(source, store, lines, over_limit)
    except EngineError:
        if lines.has_changes:
            store(lines.take_batch())
        raise
    lines.end_lines(time.time_ns())
    if lines.has_changes or lines.is_full:
        store(lines.take_batch())


def _read_batches(
    source: Source, store: Callable[[Batch], None], lines: LineAssembler, over_limit: Callable[[], None]
) -> None:
    flushed_at, warned, counted = 0.0, False, lines.dropped
    while True:
        if lines.dropped != counted and time.monotonic() >= flushed_at + DROPPING_SECONDS:
            lines.has_changes = True
        wait = max(0.0, flushed_at + FLUSH_SECONDS - time.monotonic()) if lines.has_changes else None
        if wait is None or wait > 0:
            try:
                pieces = source.read(wait)
            except EOFError:
                return
            if pieces:
                lines.feed_from(source, pieces)
        if lines.is_full and not warned:
            warned = True
            over_limit()
        due = time.monotonic() >= flushed_at + FLUSH_SECONDS or lines.pending_bytes >= FLUSH_BYTES
        if lines.has_changes and due:
            store(lines.take_batch())
            flushed_at, counted = time.monotonic(), lines.dropped
