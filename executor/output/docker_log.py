"""Pure: parses the engine's log of a container, and finds the position at which reading resumes.

Three layers: HTTP chunks; in them the engine's frames, one per message; in each frame a timestamp and text. The driver
`local` of engine 20.10 drops the newline after a line over 16 KiB; this module restores it.
"""

import re
from datetime import UTC, datetime

from executor.output.source import ENGINE_LOST, ENGINE_RESTARTED, GAP, ROTATED, Piece
from executor.spec import MB, Cursor

MESSAGE_BYTES = 16 * 1024  # a longer line is split into messages of this size and a shorter last one
KEPT_BYTES = MB  # how much of a partial line is kept from the skipped part
_FRACTION = re.compile(r"\.(\d+)")
_SECOND = len("2026-01-01T00:00:00")
_TENTH = len("2026-01-01T00:00:00.0")  # messages within the same tenth of a second are joined


def parse_unix_ns(stamp: bytes) -> int:
    text = stamp.decode()
    fraction = _FRACTION.search(text)
    digits = fraction[1] if fraction else ""
    whole = datetime.fromisoformat(text.replace("." + digits, "") if digits else text)
    return int(whole.timestamp()) * 10**9 + int(digits.ljust(9, "0"))


def format_rfc3339(unix_ns: int) -> bytes:
    return datetime.fromtimestamp(unix_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


class ChunkDecoder:
    """Decodes a chunked HTTP body. `has_ended`: the last chunk was received, which a lost connection never sends."""

    def __init__(self) -> None:
        self._buffer = b""
        self.has_ended = False

    def feed(self, block: bytes) -> bytes:
        data = self._buffer + block
        at, end, parts = 0, len(data), []
        while (line_end := data.find(b"\r\n", at)) >= 0:
            begin = line_end + 2
            stop = begin + int(data[at:line_end], 16)
            if stop + 2 > end:
                break
            if stop == begin:
                self.has_ended = True
            parts.append(data[begin:stop])
            at = stop + 2
        self._buffer = data[at:]
        return b"".join(parts)


class StreamPosition:
    """The reading position of one stream: skips the stored part and returns the rest.

    `by_lines`: the log driver does not keep every byte, so only newlines are counted.
    """

    def __init__(self, stored: Cursor, by_lines: bool) -> None:
        self._stored_lines = stored.lines
        self._lines = stored.lines if by_lines else 0  # still to skip
        self._bytes = stored.bytes
        self._skipped_lines = 0
        self._keeps_bytes = not by_lines
        self._is_in_long_line, self._owes_newline = False, False  # within a long line; its newline is missing so far
        self._can_pass_through = False  # nothing to skip or restore, as far as is known
        self._at_lines, self._at_bytes = stored.lines, stored.bytes
        self.before = b""  # the stored beginning of the line that the first new byte continues
        self.has_gap = False

    @property
    def cursor(self) -> Cursor:
        return Cursor(self._at_lines, self._at_bytes)

    def take_new(self, text: bytes) -> bytes:
        """The new part of one message. A message contains a newline only at its end."""
        if self._can_pass_through and text.endswith(b"\n"):
            self._at_lines += 1
            self._at_bytes += len(text)
            return text
        if self._keeps_bytes:
            text = self._restore_newline(text)
        if self._lines or self._bytes:
            text = self._skip_stored(text)
        self._at_lines += text.count(b"\n")
        self._at_bytes += len(text)
        self._can_pass_through = not (self._lines or self._bytes or self._is_in_long_line or self._owes_newline)
        return text

    def _restore_newline(self, text: bytes) -> bytes:
        # The last message of a long line lacks its newline. It is added when the next message arrives: the last output
        # of a container may be a long line without a newline.
        restored = b"\n" + text if self._owes_newline else text
        self._owes_newline = False
        if text.endswith(b"\n"):
            self._is_in_long_line = False
        elif len(text) == MESSAGE_BYTES:
            self._is_in_long_line = True
        elif self._is_in_long_line:
            self._is_in_long_line, self._owes_newline = False, True
        return restored

    def _skip_stored(self, text: bytes) -> bytes:
        if self._lines:
            self._lines -= text.endswith(b"\n")
            self._bytes = max(0, self._bytes - len(text))
            return b""
        skipped = text[: self._bytes]
        if self._bytes <= KEPT_BYTES:
            self.before = (self.before + skipped).rpartition(b"\n")[2]
        self._bytes -= len(skipped)
        self._skipped_lines += skipped.count(b"\n")
        if self._keeps_bytes and not self._bytes:
            self.has_gap = self._skipped_lines != self._stored_lines
        return text[len(skipped) :]

    def settle_surplus(self) -> Cursor:
        """How much of the stored part the log does not contain. Call it when the next message was written after the
        stored part. The position then follows the log, so that the next reader skips only what the log contains."""
        if not self.is_short():
            return Cursor()
        lines = self._lines if not self._keeps_bytes else self._stored_lines - self._skipped_lines
        surplus = Cursor(lines, self._bytes)
        self._at_lines -= surplus.lines
        self._at_bytes -= surplus.bytes
        self._lines = self._bytes = 0
        return surplus

    def is_short(self) -> bool:
        """Whether the log contained less than is stored. Call it at the end of the log."""
        return bool(self._lines) or self._bytes > self._owes_newline


class MessageParser:
    """Parses the engine's frames, each `time SPACE text`, into pieces of output past the stored part.

    `cut_ns`: the engine was away at this time, and all stored output was written before. `starts_by_ns`: the log's
    first message was written before this time, unless the engine has rotated its file. Both by the engine's clock; 0:
    unknown.
    """

    def __init__(self, places: dict[int, StreamPosition], cut_ns: int = 0, starts_by_ns: int = 0) -> None:
        self._places = places
        self._buffer = b""
        self._cut_ns, self._starts_by_ns = cut_ns, starts_by_ns
        self._cut_second = format_rfc3339(cut_ns)
        self.surplus: dict[int, Cursor] = {}
        self.has_gap = False  # a gap was reported

    def feed(self, data: bytes) -> list[Piece]:
        data = self._buffer + data
        at, end = 0, len(data)
        groups: list[tuple[int, list[bytes], bytes]] = []
        texts: list[bytes] = []
        same_stream, same_time = 0, b""
        while at + 8 <= end:
            begin = at + 8
            stop = begin + int.from_bytes(data[at + 4 : begin], "big")
            if stop > end:
                break
            stream = data[at]
            if place := self._places.get(stream):
                space = data.index(b" ", begin)
                if (self._cut_ns or self._starts_by_ns) and (cause := self._find_gap_before(data[begin:space])):
                    groups.append((GAP, [cause.encode()], data[begin:space]))
                    same_stream, place = 0, self._places[stream]
                if text := place.take_new(data[space + 1 : stop]):
                    if place.has_gap and not self.has_gap:
                        self.has_gap, same_stream = True, 0
                        groups.append((GAP, [ENGINE_LOST.encode()], data[begin:space]))
                    if stream != same_stream or not data.startswith(same_time, begin):
                        texts = []
                        groups.append((stream, texts, data[begin:space]))
                        same_stream, same_time = stream, data[begin : begin + _TENTH]
                    texts.append(text)
            elif not self.has_gap:  # an error message of the engine on another stream: it could not read a part
                self.has_gap, same_stream = True, 0
                groups.append((GAP, [ENGINE_LOST.encode()], b""))
            at = stop
        self._buffer = data[at:]
        return [(stream, b"".join(texts), parse_unix_ns(stamp) if stamp else 0) for stream, texts, stamp in groups]

    def _find_gap_before(self, stamp: bytes) -> str:
        if self._starts_by_ns:
            starts_by, self._starts_by_ns = self._starts_by_ns, 0
            if parse_unix_ns(stamp) > starts_by:
                self._cut_ns = 0
                self._places |= {stream: StreamPosition(Cursor(), False) for stream in self._places}
                self.has_gap = True
                return ROTATED
        second = stamp[:_SECOND]
        if (
            self._cut_ns
            and second >= self._cut_second
            and (second > self._cut_second or parse_unix_ns(stamp) > self._cut_ns)
        ):
            return self.end_stored_part()
        return ""

    def end_stored_part(self) -> str:
        """End the skipped part. Returns once the cause of a gap, if the engine was away since; else an empty string."""
        if not self._cut_ns:
            return ""
        self._cut_ns = 0
        self.surplus = {stream: place.settle_surplus() for stream, place in self._places.items()}
        self.has_gap = True
        return ENGINE_RESTARTED
