"""Resuming a log from the engine's copy of it: nothing is lost, duplicated or changed, at any position."""

import random
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from executor.docker.attachment import Attachment
from executor.docker.errors import LogCut, NotFound
from executor.docker.models import ContainerState
from executor.output.docker_log import ChunkDecoder, MessageParser, StreamPosition, parse_unix_ns
from executor.output.masking import HIDDEN, Masker
from executor.output.resume import START, ResumedLog, StoredLog
from executor.output.source import GAP
from executor.output.stream import MAX_LINE_BYTES, LineAssembler, follow_output
from executor.spec import MB, Batch, Cursor, Dropped
from tests.fakes.log import SIZE, FakeLog, chunk, frame, stamped

NS = 1_700_000_000_123_456_789
BORDERS = [0, 1, SIZE - 2, SIZE - 1, SIZE, SIZE + 1, 2 * SIZE - 1, 2 * SIZE, 2 * SIZE + 1, 3 * SIZE + 5]
TORTURE = [
    (1, b"one\n\n\n"),
    (2, b"progress 1\rprogress 2\r\n"),
    (1, b"nul \x00 and \xff\xfe invalid \xc3\n"),
    *((1 + at % 2, bytes([97 + at]) * size + b"\n") for at, size in enumerate(BORDERS)),
    (1, "é".encode() * SIZE + b"\nafter\n"),
    (2, b"no newline at the end"),
]


class Engine:
    """One container with a log; the connection breaks once, after `cut` bytes."""

    def __init__(self, log: FakeLog, running: bool = False, cut: int | None = None) -> None:
        self.log, self.running, self.cut = log, running, cut
        self.opened: list[bool] = []
        self.reads = threading.Event()  # a log was opened: later output is new
        self.ahead = 0.0  # of this machine's clock, in seconds
        self.slow = 0.0  # seconds that its answer about its clock is under way

    def describe_container(self, name: str) -> dict[str, Any]:
        return {"HostConfig": {"LogConfig": {"Type": self.log.driver}}}

    def inspect(self, name: str) -> ContainerState:
        return ContainerState("running" if self.running else "exited", 0, False, True, "")

    def wait(self, name: str, seconds: int) -> None:
        time.sleep(0.01)

    def read_clock(self) -> float:
        told = time.time() + self.ahead
        time.sleep(self.slow)
        return told

    def open_log(self, name: str, *, follow: bool, new_only: bool = False) -> Attachment:
        self.opened.append(follow)
        ours, theirs = socket.socketpair()
        messages = self.log.messages(follow, new_only)
        self.reads.set()
        threading.Thread(target=self._send, args=(ours, messages), daemon=True).start()
        return Attachment(theirs)

    def _send(self, ours: socket.socket, messages: Iterable[bytes]) -> None:
        sent = 0
        with ours, suppress(OSError):
            for message in messages:
                data = chunk(message)
                if self.cut is not None and sent + len(data) > self.cut:
                    ours.sendall(data[: self.cut - sent])
                    self.cut = None
                    return
                ours.sendall(data)
                sent += len(data)
            ours.sendall(chunk(b""))


def written(parts: Iterable[tuple[int, bytes]], driver: str = "local") -> FakeLog:
    log = FakeLog(driver)
    for at, (stream, data) in enumerate(parts):
        log.write(stream, data, NS + at * 10**8)
    log.end(NS + 10**12)
    return log


def whole(parts: Sequence[tuple[int, bytes]]) -> dict[int, bytes]:
    return {stream: b"".join(data for one, data in parts if one == stream) for stream in (1, 2)}


def read_all(source: ResumedLog) -> dict[int, bytes]:
    found = {1: b"", 2: b""}
    while True:
        try:
            for stream, data, _ in source.read(10) or []:
                if stream != GAP:
                    found[stream] += data
        except EOFError:
            return found


def rest(
    engine: Engine, stdout: Cursor = START, stderr: Cursor = START, known: StoredLog | None = None
) -> tuple[dict[int, bytes], ResumedLog]:
    """The output of a resumed log after two cursors."""
    source = ResumedLog(engine, "main", known or StoredLog(stdout, stderr))
    return read_all(source), source


def cursor(text: bytes) -> Cursor:
    return Cursor(text.count(b"\n"), len(text))


# Taking apart.


def test_chunks_come_whole_however_they_are_cut() -> None:
    data = chunk(b"abc") + chunk(b"x" * 300) + chunk(b"\r\n") + chunk(b"")
    for size in (1, 2, 3, 7, len(data)):
        chunks = ChunkDecoder()
        given = b"".join(chunks.feed(data[at : at + size]) for at in range(0, len(data), size))
        assert (given, chunks.has_ended) == (b"abc" + b"x" * 300 + b"\r\n", True)
    cut = ChunkDecoder()
    assert (cut.feed(data[:-1]), cut.has_ended) == (b"abc" + b"x" * 300 + b"\r\n", False)


@pytest.mark.parametrize(
    ("stamp", "wanted"),
    [
        (b"2023-11-14T22:13:20.123456789Z", NS),
        (b"2023-11-14T23:13:20.123456789+01:00", NS),
        (b"2023-11-14T22:13:20.5Z", 1_700_000_000_500_000_000),
        (b"2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
    ],
)
def test_times_keep_their_nanoseconds(stamp: bytes, wanted: int) -> None:
    assert parse_unix_ns(stamp) == wanted


def test_what_comes_at_once_comes_joined_and_what_comes_later_has_its_own_time() -> None:
    messages = MessageParser({1: StreamPosition(Cursor(), False), 2: StreamPosition(Cursor(), False)})
    times = [NS, NS + 1000, NS + 2000, NS + 10**9]
    data = b"".join(stamped(stream, b"x\n", ns) for stream, ns in zip((1, 1, 2, 2), times, strict=True))
    assert messages.feed(data) == [(1, b"x\nx\n", NS), (2, b"x\n", NS + 2000), (2, b"x\n", NS + 10**9)]


def test_messages_come_whole_however_they_are_cut() -> None:
    data = b"".join(written(TORTURE).messages(False))
    for size in (1000, 1001, 15_000):
        messages = MessageParser({1: StreamPosition(Cursor(), False), 2: StreamPosition(Cursor(), False)})
        pieces = [piece for at in range(0, len(data), size) for piece in messages.feed(data[at : at + size])]
        assert whole([(stream, text) for stream, text, _ in pieces]) == whole(TORTURE)


def test_the_engines_own_words_are_no_output_and_are_noted() -> None:
    messages = MessageParser({1: StreamPosition(Cursor(), False), 2: StreamPosition(Cursor(), False)})
    data = frame(3, b"Error grabbing logs: unexpected EOF\n") + stamped(1, b"a\n", NS)
    assert messages.feed(data) == [(GAP, b"engine_lost", 0), (1, b"a\n", NS)]


# Resuming.


def test_from_the_start_every_byte_comes() -> None:
    found, source = rest(Engine(written(TORTURE)))
    assert found == whole(TORTURE)
    assert (source.has_replaced_bytes, source.has_gap) == (False, False)


@pytest.mark.parametrize("size", BORDERS)
@pytest.mark.parametrize("ending", [b"\n", b""])
def test_a_last_line_of_any_length(size: int, ending: bytes) -> None:
    """It is unknown whether a long last line had a newline; the stored text ends with one in both cases."""
    given = b"before\n" + b"x" * size + ending
    found, source = rest(Engine(written([(1, given)])))
    assert found[1] in (given, given.removesuffix(b"\n") if size >= SIZE else given)
    for stored in (given, given[:-1]):
        again, source = rest(Engine(written([(1, given)])), cursor(stored))
        assert stored + again[1] in (given, given + b"\n" * (not ending), given.removesuffix(b"\n"))
        assert not source.has_gap


def test_from_every_place_in_a_small_log() -> None:
    parts = [(1, b"one\ntwo\n"), (2, b"err"), (1, b"th"), (2, b"or\n\nx"), (1, b"ree\nend")]
    out, err = whole(parts)[1], whole(parts)[2]
    for first in range(len(out) + 1):
        for second in range(len(err) + 1):
            found, source = rest(Engine(written(parts)), cursor(out[:first]), cursor(err[:second]))
            assert found == {1: out[first:], 2: err[second:]}
            assert not source.has_gap


def test_from_random_places_of_a_torture_log() -> None:
    rng, texts = random.Random(3), whole(TORTURE)
    for _ in range(200):
        places = [rng.randint(0, len(texts[stream])) for stream in (1, 2)]
        found, source = rest(Engine(written(TORTURE)), cursor(texts[1][: places[0]]), cursor(texts[2][: places[1]]))
        assert found == {1: texts[1][places[0] :], 2: texts[2][places[1] :]}
        assert not source.has_gap


def test_json_file_goes_on_by_lines_and_says_that_bytes_were_replaced() -> None:
    parts = [(1, b"bad \xff\xfe\n" * 3), (2, "fine é\n".encode()), (1, b"good\nlast \xff")]
    for lines in range(5):
        stored = b"".join(whole(parts)[1].splitlines(keepends=True)[:lines])
        found, source = rest(Engine(written(parts, "json-file")), cursor(stored))
        assert found[1].decode() == whole(parts)[1][len(stored) :].decode(errors="replace")
        assert (source.has_replaced_bytes, source.has_gap) == (True, False)
    found, source = rest(Engine(written([(1, b"plain\n")], "json-file")))
    assert (found[1], source.has_replaced_bytes) == (b"plain\n", False)


def test_json_file_goes_on_within_a_long_line_of_text() -> None:
    given = b"first\n" + b"0123456789" * (MAX_LINE_BYTES // 5) + b"\nlast"
    for stored in (6 + MAX_LINE_BYTES, 6 + 5, len(given)):
        found, _ = rest(Engine(written([(1, given)], "json-file")), cursor(given[:stored]))
        assert found[1] == given[stored:]


@pytest.mark.parametrize("driver", ["local", "json-file"])
def test_a_log_that_lost_what_was_stored_says_so(driver: str) -> None:
    stored = b"one\ntwo\nthree\n"
    _, source = rest(Engine(written([(1, b"one\n")], driver)), cursor(stored))
    assert source.has_gap
    if driver == "local":
        _, source = rest(Engine(written([(1, b"one\nother words\nmore\n")])), cursor(stored))
        assert source.has_gap


LATER = NS + 10 * 10**9


def pieces_of(source: ResumedLog) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while True:
        try:
            found += [(stream, data) for stream, data, _ in source.read(10) or []]
        except EOFError:
            return found


def log_of(*parts: tuple[int, bytes, int]) -> FakeLog:
    log = FakeLog()
    for stream, data, ns in parts:
        log.write(stream, data, ns)
    log.end(LATER)
    return log


@pytest.mark.parametrize("ahead", [0.0, 3600.0, -3600.0])
def test_what_came_after_the_engine_was_away_is_new_though_it_lost_what_is_stored(ahead: float) -> None:
    """The engine's log contains less than was read from it; skipping by bytes alone would skip new lines."""
    shift = int(ahead * 1e9)
    parts = (1, b"one\ntwo\n", NS + shift), (2, b"e\n", NS + shift), (1, b"four\nfive\n", LATER + shift)
    known = StoredLog(cursor(b"one\ntwo\nthree\n"), cursor(b"e\n"), cut_ns=NS + 10**9)
    engine = Engine(log_of(*parts))
    engine.ahead = ahead
    source = ResumedLog(engine, "main", known)
    lines, batches = LineAssembler(MB, None, known.stdout, known.stderr), list[Batch]()
    follow_output(source, batches.append, lines, lambda: None)
    assert [(gap.at, gap.cause) for batch in batches for gap in batch.gaps] == [(0, "engine_restarted")]
    assert b"".join(part.text for batch in batches for part in batch.segments) == b"four\nfive\n"
    # A further reader skips exactly the stored part.
    assert (lines.stdout, lines.stderr) == (cursor(b"one\ntwo\nfour\nfive\n"), cursor(b"e\n"))
    found, again = rest(engine, known=StoredLog(lines.stdout, lines.stderr))
    assert (found, again.has_gap) == ({1: b"", 2: b""}, False)


def test_a_line_from_just_before_the_engine_went_is_not_stored_twice() -> None:
    """Reading the engine's clock takes longer than the time between line and outage."""
    engine = Engine(log_of((1, b"one\n", NS), (1, b"two\n", LATER)))
    engine.slow = 0.1
    known = StoredLog(cursor(b"one\n"), first_ns=NS, cut_ns=NS + 10**7)
    assert pieces_of(ResumedLog(engine, "main", known)) == [(GAP, b"engine_restarted"), (1, b"two\n")]


def test_an_engine_that_was_away_leaves_a_mark_where_nothing_came_after_it_too() -> None:
    known = StoredLog(cursor(b"one\n"), cut_ns=NS + 10**9)
    assert pieces_of(ResumedLog(Engine(log_of((1, b"one\ntwo\n", NS))), "main", known)) == [
        (1, b"two\n"),
        (GAP, b"engine_restarted"),
    ]


def test_the_mark_lies_between_what_was_before_and_what_came_after() -> None:
    log = log_of((1, b"one\ntwo\n", NS), (1, b"three\n", LATER))
    known = StoredLog(cursor(b"one\n"), cut_ns=NS + 10**9)
    assert pieces_of(ResumedLog(Engine(log), "main", known)) == [
        (1, b"two\n"),
        (GAP, b"engine_restarted"),
        (1, b"three\n"),
    ]


@pytest.mark.parametrize(("first_ns", "rotated"), [(NS, True), (LATER, False), (LATER + 5, False), (0, False)])
def test_a_log_that_begins_later_than_its_first_line_was_turned_over(first_ns: int, rotated: bool) -> None:
    """The rotated log contains only output past the limit: it is counted and not stored."""
    known = StoredLog(cursor(b"one\n"), first_ns=first_ns)
    source = ResumedLog(Engine(log_of((1, b"much later\n", LATER))), "main", known)
    lines, batches, full = LineAssembler(MB, None, known.stdout), list[Batch](), list[bool]()
    follow_output(source, batches.append, lines, lambda: full.append(True))
    causes = [gap.cause for batch in batches for gap in batch.gaps]
    if rotated:
        assert (causes, full, lines.dropped) == (["rotated"], [True], Dropped(1, 11))
        assert not any(batch.segments for batch in batches)
    else:
        assert "rotated" not in causes


def test_of_a_full_log_only_what_comes_from_now_on_is_counted() -> None:
    log = FakeLog()
    engine = Engine(log, running=True)
    log.write(1, b"kept\ndropped\n", NS)
    lines, batches = LineAssembler(5, None, cursor(b"kept\n"), Cursor(), Dropped(1, 8)), list[Batch]()
    source = ResumedLog(engine, "main", StoredLog(lines.stdout, full=True))
    thread = threading.Thread(target=follow_output, args=(source, batches.append, lines, lambda: None))
    thread.start()
    assert engine.reads.wait(20)
    log.write(1, b"more\n", NS)
    engine.running = False
    log.end(NS)
    thread.join(20)
    assert not thread.is_alive()
    assert lines.dropped == Dropped(2, 13)
    assert [gap.cause for batch in batches for gap in batch.gaps] == ["uncounted"]
    assert not any(batch.segments for batch in batches)


# Real ends and other ends.


def test_a_followed_log_is_read_once_more_after_the_exit() -> None:
    """The engine may not send the last, unterminated message to a follower."""
    log = FakeLog()
    engine = Engine(log, running=True)
    log.write(1, b"first\n", NS)
    source = ResumedLog(engine, "main", StoredLog())
    assert source.read(10) == [(1, b"first\n", NS)]
    assert source.read(0.05) is None
    log.write(1, b"last words", NS)
    engine.running = False
    log.end(NS)
    assert read_all(source)[1] == b"last words"
    assert engine.opened == [True, False]
    with pytest.raises(EOFError):
        source.read(10)


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("part", [0, 5, 100, 20_000])
def test_a_connection_that_breaks_is_no_end(running: bool, part: int) -> None:
    texts = whole(TORTURE)
    engine = Engine(written(TORTURE), running, cut=part)
    if running:
        engine.wait = lambda name, seconds: None  # type: ignore[method-assign]
    source, lines, batches = ResumedLog(engine, "main", StoredLog()), LineAssembler(50 * MB), list[Batch]()
    with pytest.raises(LogCut):
        follow_output(source, batches.append, lines, lambda: None)
    engine.running = False
    lines = LineAssembler(50 * MB, None, lines.stdout, lines.stderr)
    source = ResumedLog(engine, "main", StoredLog(lines.stdout, lines.stderr))
    follow_output(source, batches.append, lines, lambda: None)
    for stream in (1, 2):
        text = b"".join(part.text for batch in batches for part in batch.segments if part.stream == stream)
        assert text == texts[stream] + b"\n" * (not texts[stream].endswith(b"\n"))


def test_closing_wakes_the_reader_and_ends_nothing() -> None:
    log = FakeLog()
    log.write(1, b"whole\nbegun", NS)
    source, batches, caught = ResumedLog(Engine(log, True), "main", StoredLog()), list[Batch](), list[LogCut]()
    stored = threading.Event()

    def read() -> None:
        try:
            follow_output(source, lambda batch: (batches.append(batch), stored.set()), LineAssembler(MB), lambda: None)
        except LogCut as error:
            caught.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    assert stored.wait(10)
    source.close()
    source.close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(caught) == 1
    assert batches[-1].stdout == Cursor(1, 6)
    unread = ResumedLog(Engine(log, True), "main", StoredLog())
    unread.close()
    with pytest.raises(LogCut):
        unread.read(5)


def test_a_container_that_is_gone_is_told_as_such() -> None:
    engine = Engine(FakeLog())

    def gone(name: str) -> dict[str, Any]:
        raise NotFound("No such container")

    engine.describe_container = gone  # type: ignore[method-assign]
    with pytest.raises(NotFound):
        ResumedLog(engine, "main", StoredLog()).read(1)


# Secrets.


@pytest.mark.parametrize("driver", ["local", "json-file"])
@pytest.mark.parametrize("offset", range(-10, 2))
def test_a_secret_across_the_place_where_a_log_goes_on(offset: int, driver: str) -> None:
    """The first part of a long line is stored; the secret lies across its end."""
    secret = b"s3cret-one"
    given = b"line\n" + b"x" * (MAX_LINE_BYTES + offset) + secret + b"y" * 30_000 + b"\nend\n"
    masker = Masker([secret.decode()])
    before, batches = LineAssembler(50 * MB, masker), list[Batch]()
    before.feed(1, given[: 5 + MAX_LINE_BYTES + 500], NS)
    batches.append(before.take_batch())
    assert batches[0].stdout == Cursor(1, 5 + MAX_LINE_BYTES)
    lines = LineAssembler(50 * MB, masker, before.stdout, before.stderr)
    source = ResumedLog(Engine(written([(1, given)], driver)), "main", StoredLog(before.stdout, before.stderr))
    follow_output(source, batches.append, lines, lambda: None)
    text = b"".join(part.text for batch in batches for part in batch.segments)
    assert not any(secret[at : at + 3] in text for at in range(len(secret) - 2))
    assert text.count(b"x") == MAX_LINE_BYTES + offset
    assert text.count(b"y") == 30_000
    assert HIDDEN in text
    assert [part.stdout for part in batches][-1] == cursor(given)


def test_catching_up_is_fast() -> None:
    """200,000 lines: the limit is generous for a busy machine, and too small for work that grows with the lines
    read."""
    text = b"".join(b"line %d of a log\n" % number for number in range(200_000))
    data = b"".join(chunk(message) for message in written([(1, text)]).messages(False))
    chunks, messages, found = (
        ChunkDecoder(),
        MessageParser({1: StreamPosition(cursor(text[: len(text) // 2]), False)}),
        0,
    )
    began = time.process_time()
    for at in range(0, len(data), 256 * 1024):
        found += sum(len(piece) for _, piece, _ in messages.feed(chunks.feed(data[at : at + 256 * 1024])))
    assert found == len(text) - len(text) // 2
    assert time.process_time() - began < 4.0
