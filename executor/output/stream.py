"""Turns blocks of a container's output into batches of whole lines with cursors. Stores nothing itself.

Works on whole blocks and creates no object per line.
"""

import time
from collections.abc import Callable

from executor.docker.errors import EngineError
from executor.docker.frames import STDERR, STDOUT
from executor.output.masking import Masker
from executor.output.source import GAP, ROTATED, SPLIT, Piece, Source
from executor.spec import MB, Batch, Cursor, Dropped, Gap, Segment

FLUSH_BYTES = 256 * 1024
FLUSH_SECONDS = 0.05
MAX_LINE_BYTES = MB  # a longer line is stored in pieces of this size
TAIL_SHOWN_BYTES = 16 * 1024  # how much of a partial line is stored until its end arrives
# A log is full at its limit of bytes or of lines. A line counts as at least this many bytes, because of its overhead in
# the engine's log file, which must not rotate before the log is full.
LEAST_LINE_BYTES = 10
CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
DROPPING_SECONDS = 1.0  # between two stored counts of dropped output


def count_torn_bytes(data: bytes) -> int:
    """The number of bytes, 0 to 3, at the end of `data` that begin an incomplete UTF-8 character."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte not in CONTINUATION_BYTES:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return back if length > back and byte < 0xF8 else 0
    return 0


class LineAssembler:
    """Collects bytes into segments of whole lines and keeps the partial line of each stream.

    When the log is full, further output is dropped and counted in `dropped`. `masker` removes secrets from all text
    that leaves; the limit and the cursors count bytes before masking. For a partly stored log, `stdout` and `stderr`
    are the cursors of its last batch.
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
        self._line_starts = {
            STDOUT: b"",
            STDERR: b"",
        }  # the text before the tail, for masking
        self._cursors = {STDOUT: stdout, STDERR: stderr}
        self._lacks_context = {stream for stream, cursor in self._cursors.items() if cursor.bytes}
        self.pending_bytes = 0
        self.total_bytes = stdout.bytes + stderr.bytes
        self._total_lines = stdout.lines + stderr.lines
        self.has_changes = False  # `take_batch` would return new data

    @property
    def stdout(self) -> Cursor:
        """How much was passed on; after `take_batch`, the stored part once that batch is stored."""
        return self._cursors[STDOUT]

    @property
    def stderr(self) -> Cursor:
        return self._cursors[STDERR]

    def feed_from(self, source: Source, pieces: list[Piece]) -> None:
        for stream, data, unix_ns in pieces:
            if stream == GAP:
                self._record_gap(data.decode(), source)
                continue
            if stream in self._lacks_context:
                # A secret may lie across the boundary between stored and new text.
                self._line_starts[stream] = self._keep_context(source.get_text_before(stream))
                self._lacks_context.discard(stream)
            self.feed(stream, data, unix_ns)

    def _record_gap(self, cause: str, source: Source) -> None:
        # The cursors move back to the output that the engine's log contains: the next reader skips just that part.
        for stream, surplus in source.surplus.items():
            cursor = self._cursors[stream]
            self._cursors[stream] = Cursor(max(0, cursor.lines - surplus.lines), max(0, cursor.bytes - surplus.bytes))
        source.surplus.clear()
        self._gaps.append(Gap(self._pending_lines, cause))
        self.has_changes = True
        if cause == ROTATED:  # the engine rotates its file only after more output than the log may hold
            self.is_full = True

    def _cut_to_limit(self, data: bytes) -> bytes:
        keep = b"" if self.is_full else data[: max(0, self._limit - self.total_bytes)]
        lines, room = keep.count(b"\n"), self._limit // LEAST_LINE_BYTES - self._total_lines
        if lines > room:
            keep = b"".join(line + b"\n" for line in keep.split(b"\n", room)[:room])
            lines = room
        self.total_bytes += len(keep)
        self._total_lines += lines
        if excess := data[len(keep) :]:
            self.is_full = True
            self.dropped = Dropped(self.dropped.lines + excess.count(b"\n"), self.dropped.bytes + len(excess))
        return keep

    def feed(self, stream: int, data: bytes, unix_ns: int) -> None:
        if not (data := self._cut_to_limit(data)):
            return
        self.has_changes = True
        cut = data.rfind(b"\n") + 1
        if cut:
            read = self._tails[stream] + data[:cut]
            text = self._masker.mask(read, self._line_starts[stream])
            self._add_segment(stream, text, unix_ns, len(read), text.count(b"\n"))
            self._tails[stream], self._line_starts[stream] = data[cut:], b""
        else:
            self._tails[stream] += data
        # The text after the boundary also decides whether a secret lies across it.
        while len(self._tails[stream]) >= MAX_LINE_BYTES + self._masker.context_bytes:
            self._add_piece(stream, unix_ns)

    def _keep_context(self, text: bytes) -> bytes:
        return text[-self._masker.context_bytes :] if self._masker.context_bytes else b""

    def _add_piece(self, stream: int, unix_ns: int) -> None:
        tail, before, reach = self._tails[stream], self._line_starts[stream], self._masker.context_bytes
        cut = MAX_LINE_BYTES - count_torn_bytes(tail[:MAX_LINE_BYTES])
        piece, remaining = tail[:cut], tail[cut:]
        self._add_segment(stream, self._masker.mask(piece, before, remaining[:reach]) + b"\n", unix_ns, len(piece), 0)
        self._tails[stream], self._line_starts[stream] = remaining, self._keep_context(piece)
        self._gaps.append(Gap(self._pending_lines, SPLIT))

    def _add_segment(self, stream: int, text: bytes, unix_ns: int, read_bytes: int, read_lines: int) -> None:
        self._segments.append(Segment(stream, read_lines or 1, unix_ns, text))
        self._pending_lines += read_lines or 1
        self.pending_bytes += len(text)
        cursor = self._cursors[stream]
        self._cursors[stream] = Cursor(cursor.lines + read_lines, cursor.bytes + read_bytes)

    def end_lines(self, unix_ns: int) -> None:
        for stream, tail in self._tails.items():
            if tail:
                text = self._masker.mask_cut_line(tail, self._line_starts[stream]) + b"\n"
                self._add_segment(stream, text, unix_ns, len(tail), 0)
                self._tails[stream], self._line_starts[stream] = b"", self._keep_context(tail)
                self.has_changes = True

    def _make_visible_tail(self, stream: int) -> bytes:
        tail = self._masker.mask_tail(self._tails[stream], self._line_starts[stream], TAIL_SHOWN_BYTES)
        if len(self._tails[stream]) > TAIL_SHOWN_BYTES:  # the first character may be incomplete
            tail = tail[:3].lstrip(CONTINUATION_BYTES) + tail[3:]
        return tail[: len(tail) - count_torn_bytes(tail)]

    def take_batch(self) -> Batch:
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
    """Read to the end of the output and pass each batch to `store`: at once after a pause, else every FLUSH_SECONDS or
    FLUSH_BYTES.

    A slow `store` slows the reading, and with it the container. Returns when the last batch is stored. When reading is
    interrupted, the received output is stored, partial lines stay partial, and LogCut (or the source's other error) is
    raised: a resumed source and a new assembler continue at `lines.stdout` and `lines.stderr`.
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
