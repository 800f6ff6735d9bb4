"""From the engine's attach stream to batches of whole lines, with the cursor. Stores nothing itself.

Works on whole blocks: no object is made for a line on the way in.
"""

import time
from collections.abc import Callable

from executor.attachment import Attachment
from executor.mask import Masker
from executor.spec import MB, Batch, Cursor, Segment

STDOUT, STDERR = 1, 2
BLOCK_BYTES = 256 * 1024
FLUSH_BYTES = 256 * 1024
FLUSH_SECONDS = 0.05
MAX_LINE_BYTES = MB  # a longer line is stored in pieces of this size
TAIL_SHOWN_BYTES = 16 * 1024  # how much of a begun line is stored while it waits for its end


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


class LineAssembler:
    """Gathers bytes into segments of whole lines and keeps the begun line of each stream.

    Past `limit_bytes` of text it drops what comes and counts it in `dropped_bytes`. Nothing leaves it
    with a secret that `masker` knows; limit and cursors count what was read, before that.
    """

    def __init__(self, limit_bytes: int, masker: Masker | None = None) -> None:
        self._limit = limit_bytes
        self._masker = masker or Masker()
        self._segments: list[Segment] = []
        self._tails = {STDOUT: b"", STDERR: b""}
        self._befores = {STDOUT: b"", STDERR: b""}  # what went before the tail in the same line, as far as it matters
        self._cursors = {STDOUT: Cursor(), STDERR: Cursor()}
        self.pending_bytes = 0
        self.total_bytes = 0
        self.dropped_bytes = 0
        self.changed = False  # something is there that `take` would bring

    def feed(self, stream: int, data: bytes, unix_ns: int) -> None:
        room = self._limit - self.total_bytes
        if len(data) > room:
            self.dropped_bytes += len(data) - max(room, 0)
            data = data[: max(room, 0)]
        if not data:
            return
        self.total_bytes += len(data)
        self.changed = True
        seen = self._cursors[stream]
        self._cursors[stream] = Cursor(seen.lines + data.count(b"\n"), seen.bytes + len(data))
        cut = data.rfind(b"\n") + 1
        if cut:
            text = self._masker.mask(self._tails[stream] + data[:cut], self._befores[stream])
            self._add(stream, text, unix_ns)
            self._tails[stream], self._befores[stream] = data[cut:], b""
        else:
            self._tails[stream] += data
        # What follows the border decides too whether a secret lies across it.
        while len(self._tails[stream]) >= MAX_LINE_BYTES + self._masker.reach:
            self._add_piece(stream, unix_ns)

    def _add_piece(self, stream: int, unix_ns: int) -> None:
        tail, before, reach = self._tails[stream], self._befores[stream], self._masker.reach
        piece, rest = tail[:MAX_LINE_BYTES], tail[MAX_LINE_BYTES:]
        self._add(stream, self._masker.mask(piece, before, rest[:reach]) + b"\n", unix_ns)
        self._tails[stream], self._befores[stream] = rest, piece[-reach:] if reach else b""

    def _add(self, stream: int, text: bytes, unix_ns: int) -> None:
        self._segments.append(Segment(stream, text.count(b"\n"), unix_ns, text))
        self.pending_bytes += len(text)

    def end(self, unix_ns: int) -> None:
        """The stream is over: begun lines become lines."""
        for stream, tail in self._tails.items():
            if tail:
                self._add(stream, self._masker.last(tail, self._befores[stream]) + b"\n", unix_ns)
                self._tails[stream] = b""
                self.changed = True

    def _shown(self, stream: int) -> bytes:
        return self._masker.begun(self._tails[stream], self._befores[stream], TAIL_SHOWN_BYTES)

    def take(self) -> Batch:
        """All that has gathered since the last `take`."""
        batch = Batch(
            segments=tuple(self._segments),
            stdout=self._cursors[STDOUT],
            stderr=self._cursors[STDERR],
            stdout_tail=self._shown(STDOUT),
            stderr_tail=self._shown(STDERR),
        )
        self._segments = []
        self.pending_bytes = 0
        self.changed = False
        return batch


def follow(
    attachment: Attachment, store: Callable[[Batch], None], lines: LineAssembler, over_limit: Callable[[], None]
) -> None:
    """Read to the end of the stream and hand every batch to `store`: at once after quiet, then in bundles.

    A slow `store` holds the reading, and with it the container, back. Returns when the last batch is stored.
    """
    frames = FrameParser()
    flushed_at, warned = 0.0, False
    while True:
        wait = max(0.0, flushed_at + FLUSH_SECONDS - time.monotonic()) if lines.changed else None
        block = attachment.recv(BLOCK_BYTES, wait) if wait is None or wait > 0 else None
        if block == b"":
            break
        if block:
            now = time.time_ns()
            for stream, data in frames.feed(block):
                lines.feed(stream, data, now)
        if lines.dropped_bytes and not warned:
            warned = True
            over_limit()
        due = time.monotonic() >= flushed_at + FLUSH_SECONDS or lines.pending_bytes >= FLUSH_BYTES
        if lines.changed and due:
            store(lines.take())
            flushed_at = time.monotonic()
    lines.end(time.time_ns())
    if lines.changed:
        store(lines.take())
