"""Pure: takes apart what the engine sends of a container's log, and finds the place where to go on in it.

Three layers: HTTP's chunks, in them the engine's frames (one a message), in them a time and text. The driver
`local` of engine 20.10 forgets the newline after a line over 16 KiB; it is put back here.
"""

import re
from datetime import UTC, datetime

from executor.output.stream import ENGINE_LOST, ENGINE_RESTARTED, GAP, ROTATED, Piece
from executor.spec import MB, Cursor

MESSAGE_BYTES = 16 * 1024  # a longer line comes in messages of this size and a shorter last one
KEPT_BYTES = MB  # how much of a begun line is remembered of what is skipped
_FRACTION = re.compile(r"\.(\d+)")
_SECOND = len("2026-01-01T00:00:00")
_TENTH = len("2026-01-01T00:00:00.0")  # what comes within the same tenth of a second comes joined


def parse_unix_ns(stamp: bytes) -> int:
    """Unix nanoseconds from RFC 3339 with up to nine digits of a second."""
    text = stamp.decode()
    fraction = _FRACTION.search(text)
    digits = fraction[1] if fraction else ""
    whole = datetime.fromisoformat(text.replace("." + digits, "") if digits else text)
    return int(whole.timestamp()) * 10**9 + int(digits.ljust(9, "0"))


def format_rfc3339(unix_ns: int) -> bytes:
    """To the second, as the engine's stamps begin."""
    return datetime.fromtimestamp(unix_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


class ChunkDecoder:
    """The body of a chunked HTTP answer; `ended` once its end came, which a cut connection never sends."""

    def __init__(self) -> None:
        self._rest = b""
        self.has_ended = False

    def feed(self, block: bytes) -> bytes:
        """What the whole chunks in `block` hold."""
        data = self._rest + block
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
        self._rest = data[at:]
        return b"".join(parts)


class StreamPosition:
    """Where one stream's reader stands: gives what lies past `stored`, and skips what does not.

    `by_lines` is for a driver that does not keep every byte: only its newlines can be counted.
    """

    def __init__(self, stored: Cursor, by_lines: bool) -> None:
        self._stored_lines = stored.lines
        self._lines = stored.lines if by_lines else 0  # to be skipped yet
        self._bytes = stored.bytes
        self._skipped_lines = 0
        self._keeps_bytes = not by_lines
        self._long, self._owed = False, False  # within a long line; its newline is owed
        self._easy = False  # nothing to skip or mend, as far as is known
        self._at_lines, self._at_bytes = stored.lines, stored.bytes
        self.before = b""  # of the line that the first new byte goes on with
        self.has_gap = False

    @property
    def cursor(self) -> Cursor:
        """All that was skipped or given."""
        return Cursor(self._at_lines, self._at_bytes)

    def take_new(self, text: bytes) -> bytes:
        """What of one message is new. A newline is nowhere but at a message's end."""
        if self._easy and text.endswith(b"\n"):
            self._at_lines += 1
            self._at_bytes += len(text)
            return text
        if self._keeps_bytes:
            text = self._restore_newline(text)
        if self._lines or self._bytes:
            text = self._skip_stored(text)
        self._at_lines += text.count(b"\n")
        self._at_bytes += len(text)
        self._easy = not (self._lines or self._bytes or self._long or self._owed)
        return text

    def _restore_newline(self, text: bytes) -> bytes:
        """A long line's last message has no newline of its own. Whether there was one is sure when more
        comes: the last words of a container may be a long line without it."""
        given = b"\n" + text if self._owed else text
        self._owed = False
        if text.endswith(b"\n"):
            self._long = False
        elif len(text) == MESSAGE_BYTES:
            self._long = True
        elif self._long:
            self._long, self._owed = False, True
        return given

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
        """Asked once what comes was written after all that is stored: how much of that the log does not hold. The
        place is the log's own from then on, so that the next reader skips what the log really has."""
        if not self.is_short():
            return Cursor()
        lines = self._lines if not self._keeps_bytes else self._stored_lines - self._skipped_lines
        more = Cursor(lines, self._bytes)
        self._at_lines -= more.lines
        self._at_bytes -= more.bytes
        self._lines = self._bytes = 0
        return more

    def is_short(self) -> bool:
        """Asked at the end of the log: whether it held less than is stored."""
        return bool(self._lines) or self._bytes > self._owed


class MessageParser:
    """The engine's frames, each `time SPACE text`, as pieces of output past their stream's place.

    `cut_ns`: all that is stored was written before, and the engine was away then; `starts_by_ns`: the log's first
    message was, unless the engine has turned its file over. Both on the engine's clock; 0: not known.
    """

    def __init__(self, places: dict[int, StreamPosition], cut_ns: int = 0, starts_by_ns: int = 0) -> None:
        self._places = places
        self._rest = b""
        self._cut_ns, self._starts_by_ns = cut_ns, starts_by_ns
        self._cut_second = format_rfc3339(cut_ns)
        self.surplus: dict[int, Cursor] = {}
        self.has_gap = False  # a gap was told

    def feed(self, data: bytes) -> list[Piece]:
        data = self._rest + data
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
            elif not self.has_gap:  # the engine's own words, on a stream of their own: it could not read a part
                self.has_gap, same_stream = True, 0
                groups.append((GAP, [ENGINE_LOST.encode()], b""))
            at = stop
        self._rest = data[at:]
        return [(stream, b"".join(texts), parse_unix_ns(stamp) if stamp else 0) for stream, texts, stamp in groups]

    def _find_gap_before(self, stamp: bytes) -> str:
        """Whether there is one before the message of this time, and why."""
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
        """Nothing of what is stored comes any more: the gap's cause where the engine was away since, once."""
        if not self._cut_ns:
            return ""
        self._cut_ns = 0
        self.surplus = {stream: place.settle_surplus() for stream, place in self._places.items()}
        self.has_gap = True
        return ENGINE_RESTARTED
