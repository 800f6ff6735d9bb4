"""From the engine's blocks to whole lines: nothing is lost, added or moved, at any block boundaries."""

import random
import socket
import threading
from collections.abc import Iterator

import pytest

from executor.docker.attachment import Attachment
from executor.docker.errors import LogCut
from executor.docker.frames import FrameParser
from executor.output.source import SPLIT, AttachedSource
from executor.output.stream import FLUSH_BYTES, MAX_LINE_BYTES, TAIL_SHOWN_BYTES, LineAssembler, follow_output
from executor.spec import MB, Batch, Cursor, Segment
from tests.fakes.log import frame


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("character", ["é", "漢", "🦊"])
def test_no_character_is_torn_where_a_long_line_is_split_or_shown(character: str, before: int) -> None:
    text = "x" * before + character * (MAX_LINE_BYTES // 2) + "\n"
    lines, data = LineAssembler(50 * MB), text.encode()
    for at in range(0, len(data), 9973):
        lines.feed(1, data[at : at + 9973], 1)
        lines.take_batch().stdout_tail.decode()
    lines = LineAssembler(50 * MB)
    lines.feed(1, data[:-1], 1)
    lines.end_lines(2)
    pieces = b"".join(segment.text for segment in lines.take_batch().segments).decode().split("\n")
    assert "".join(pieces) == text.removesuffix("\n")
    assert all(len(piece.encode()) > MAX_LINE_BYTES - 4 for piece in pieces[:-2])


def test_bytes_that_are_no_text_are_kept_too() -> None:
    lines = LineAssembler(50 * MB)
    data = b"\xe9\xff\x80" * MAX_LINE_BYTES
    lines.feed(1, data, 1)
    lines.end_lines(2)
    assert b"".join(segment.text for segment in lines.take_batch().segments).replace(b"\n", b"") == data


SMALL = [(1, b"one\n"), (2, b"err"), (1, b""), (1, b"two\nthr"), (2, b"or\n"), (1, b"ee")]


def by_stream(runs: list[tuple[int, bytes]]) -> dict[int, bytes]:
    return {stream: b"".join(data for one, data in runs if one == stream) for stream in (1, 2)}


def test_every_cut_of_the_frames_gives_the_same_bytes() -> None:
    whole = b"".join(frame(*part) for part in SMALL)
    for first in range(len(whole) + 1):
        for second in range(first, len(whole) + 1):
            parser = FrameParser()
            blocks = (whole[:first], whole[first:second], whole[second:])
            runs = [run for block in blocks for run in parser.feed(block)]
            assert by_stream(runs) == {1: b"one\ntwo\nthree", 2: b"error\n"}


def test_byte_by_byte_keeps_the_order_between_the_streams() -> None:
    whole = b"".join(frame(*part) for part in SMALL)
    parser = FrameParser()
    runs = [run for at in range(len(whole)) for run in parser.feed(whole[at : at + 1])]
    assert b"".join(data for _, data in runs) == b"".join(data for _, data in SMALL)


def test_neighbours_of_one_stream_come_joined() -> None:
    block = frame(1, b"a") + frame(1, b"b") + frame(2, b"c") + frame(1, b"d")
    assert FrameParser().feed(block) == [(1, b"ab"), (2, b"c"), (1, b"d")]


def test_random_frames_in_random_blocks() -> None:
    rng = random.Random(7)
    for _ in range(100):
        parts = [(rng.choice((1, 2)), rng.randbytes(rng.choice((0, 1, 7, 8, 9, 300)))) for _ in range(20)]
        whole = b"".join(frame(*part) for part in parts)
        parser, runs, at = FrameParser(), [], 0
        while at < len(whole):
            step = rng.randint(1, 400)
            runs += parser.feed(whole[at : at + step])
            at += step
        assert by_stream(runs) == by_stream(parts)


# Lines.


def text(batches: list[Batch], stream: int = 0) -> bytes:
    return b"".join(part.text for batch in batches for part in batch.segments if stream in (0, part.stream))


def assembled(chunks: list[tuple[int, bytes]], limit: int = 50 * MB) -> tuple[LineAssembler, Batch]:
    lines = LineAssembler(limit)
    for number, (stream, data) in enumerate(chunks):
        lines.feed(stream, data, number)
    lines.end_lines(99)
    return lines, lines.take_batch()


@pytest.mark.parametrize(
    "given",
    [
        b"one\ntwo\n",
        b"\n\n\n",
        b"no newline",
        b"progress 1\rprogress 2\r\n",
        b"nul \x00 and \xff\xfe invalid \xc3\n",
        b"x" * 16383 + b"\n",
        b"x" * 16384 + b"\n",
        b"x" * 16385 + b"\ny",
        b"",
    ],
)
def test_text_stays_as_it_was_however_it_is_cut(given: bytes) -> None:
    expected = given if given.endswith(b"\n") or not given else given + b"\n"
    for size in (1, 2, 3, 5, 4096, 16384, len(given) or 1):
        if len(given) > 1000 and size < 1000:
            continue
        lines, batch = assembled([(1, given[at : at + size]) for at in range(0, len(given), size)])
        assert text([batch]) == expected
        assert sum(part.lines for part in batch.segments) == expected.count(b"\n")
        assert (batch.stdout.bytes, batch.stdout.lines) == (len(given), given.count(b"\n"))
        assert (batch.stdout_tail, lines.dropped.bytes) == (b"", 0)


def test_a_segment_holds_whole_lines_of_one_stream() -> None:
    _, batch = assembled([(1, b"a\nb"), (2, b"x\ny"), (1, b"c\n"), (2, b"z")])
    assert batch.segments == (
        Segment(1, 1, 0, b"a\n"),
        Segment(2, 1, 1, b"x\n"),
        Segment(1, 1, 2, b"bc\n"),
        Segment(2, 1, 99, b"yz\n"),
    )
    assert (batch.stdout, batch.stderr) == (Cursor(2, 5), Cursor(1, 4))


def test_a_begun_line_shows_as_the_tail() -> None:
    lines = LineAssembler(MB)
    lines.feed(1, b"done\nName: ", 1)
    lines.feed(2, b"warn", 1)
    batch = lines.take_batch()
    assert (batch.stdout_tail, batch.stderr_tail) == (b"Name: ", b"warn")
    assert text([batch]) == b"done\n"
    assert not lines.has_changes
    lines.feed(1, b"x" * 2 * TAIL_SHOWN_BYTES, 2)
    assert len(lines.take_batch().stdout_tail) == TAIL_SHOWN_BYTES


def test_a_line_over_the_limit_comes_in_pieces_that_hold_all_of_it() -> None:
    given = bytes(random.Random(3).choices(b"abcdef", k=3 * MAX_LINE_BYTES + 5))
    _, batch = assembled([(1, given[at : at + 15000]) for at in range(0, len(given), 15000)] + [(1, b"\nnext\n")])
    pieces = text([batch]).split(b"\n")
    assert b"".join(pieces[:4]) == given
    assert [len(piece) for piece in pieces[:3]] == [MAX_LINE_BYTES] * 3
    assert pieces[4:] == [b"next", b""]
    assert [(gap.at, gap.cause) for gap in batch.gaps] == [(1, SPLIT), (2, SPLIT), (3, SPLIT)]


def test_past_the_limit_the_rest_is_dropped_and_counted() -> None:
    lines, batch = assembled([(1, b"12345\n"), (2, b"6789"), (1, b"abc\n"), (2, b"d\n")], limit=12)
    assert text([batch]) == b"12345\nab\n6789\n" or text([batch]) == b"12345\n6789\nab\n"
    assert (lines.total_bytes, lines.dropped.bytes) == (12, 4)
    assert (batch.stdout.bytes, batch.stderr.bytes) == (8, 4)


def test_the_cursor_counts_what_is_in_segments_and_not_the_begun_line() -> None:
    lines = LineAssembler(50 * MB)
    lines.feed(1, b"one\ntw", 1)
    lines.feed(2, b"x" * (MAX_LINE_BYTES + 10), 1)
    batch = lines.take_batch()
    assert (batch.stdout, batch.stderr) == (Cursor(1, 4), Cursor(0, MAX_LINE_BYTES))
    assert (lines.stdout, lines.total_bytes) == (batch.stdout, 6 + MAX_LINE_BYTES + 10)
    lines.feed(1, b"o\n", 2)
    lines.end_lines(3)
    batch = lines.take_batch()
    assert (batch.stdout, batch.stderr) == (Cursor(2, 8), Cursor(0, MAX_LINE_BYTES + 10))


def test_an_assembler_goes_on_at_cursors_as_if_it_had_never_stopped() -> None:
    """After any number of interruptions: the unfinished line is read again, and the limit counts all output."""
    rng = random.Random(11)
    blocks = [(rng.choice((1, 2)), rng.choice((b"word ", b"end\n", b"\n", b"a\nb"))) for _ in range(400)]
    wanted = {stream: b"".join(data for one, data in blocks if one == stream) for stream in (1, 2)}
    batches: list[Batch] = []
    lines = LineAssembler(MB)
    for number, (stream, data) in enumerate(blocks):
        lines.feed(stream, data, number)
        if rng.random() < 0.1:
            batches.append(lines.take_batch())
            stands = {1: batches[-1].stdout, 2: batches[-1].stderr}
            lines = LineAssembler(MB, None, stands[1], stands[2])
            for one in (1, 2):
                read = b"".join(data for other, data in blocks[: number + 1] if other == one)
                assert read[: stands[one].bytes].count(b"\n") == stands[one].lines
                lines.feed(one, read[stands[one].bytes :], number)
    assert lines.total_bytes == sum(map(len, wanted.values()))
    lines.end_lines(999)
    batches.append(lines.take_batch())
    for stream in (1, 2):
        assert text(batches, stream).rstrip(b"\n") == wanted[stream].rstrip(b"\n")


def test_take_gives_everything_once() -> None:
    lines = LineAssembler(MB)
    taken = []
    for number in range(100):
        lines.feed(1 + number % 2, f"line {number}\n".encode(), number)
        if number % 7 == 0:
            taken.append(lines.take_batch())
    taken.append(lines.take_batch())
    assert text(taken) == "".join(f"line {number}\n" for number in range(100)).encode()
    assert (taken[-1].stdout.lines, taken[-1].stderr.lines) == (50, 50)
    assert lines.take_batch().segments == ()


# Following.


class Store:
    """Stores batches; `came` is set at each one."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.came = threading.Condition()

    def __call__(self, batch: Batch) -> None:
        with self.came:
            self.batches.append(batch)
            self.came.notify_all()

    def wait_for_text(self, wanted: bytes) -> None:
        with self.came:
            assert self.came.wait_for(lambda: wanted in text(self.batches) + self.tail(), 10)

    def tail(self) -> bytes:
        return self.batches[-1].stdout_tail if self.batches else b""


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Attachment]]:
    ours, theirs = socket.socketpair()
    yield ours, Attachment(theirs)
    ours.close()


def start(attachment: Attachment, store: Store, limit: int = 50 * MB) -> tuple[threading.Thread, list[str]]:
    warned: list[str] = []
    args = (AttachedSource(attachment), store, LineAssembler(limit), lambda: warned.append("over"))
    thread = threading.Thread(target=follow_output, args=args)
    thread.start()
    return thread, warned


def test_a_line_after_quiet_is_stored_without_waiting_for_more(ends: tuple[socket.socket, Attachment]) -> None:
    store = Store()
    thread, _ = start(ends[1], store)
    for number in range(3):
        ends[0].sendall(frame(1, f"line {number}\n".encode()))
        store.wait_for_text(f"line {number}\n".encode())
    ends[0].sendall(frame(1, b"Name: "))
    store.wait_for_text(b"Name: ")
    ends[0].close()
    thread.join(10)
    assert text(store.batches) == b"line 0\nline 1\nline 2\nName: \n"


def test_a_flood_comes_in_bundles(ends: tuple[socket.socket, Attachment]) -> None:
    store = Store()
    thread, _ = start(ends[1], store)
    whole = b"".join(b"line %d\n" % number for number in range(300_000))
    for at in range(0, len(whole), 15_000):
        ends[0].sendall(frame(1, whole[at : at + 15_000]))
    ends[0].close()
    thread.join(20)
    assert text(store.batches) == whole
    assert len(store.batches) < len(whole) / 15_000 / 2
    assert max(sum(len(part.text) for part in batch.segments) for batch in store.batches) < 3 * FLUSH_BYTES


def test_a_slow_store_holds_the_writer_back(ends: tuple[socket.socket, Attachment]) -> None:
    reached, go_on = threading.Event(), threading.Event()
    batches: list[Batch] = []

    def slow(batch: Batch) -> None:
        batches.append(batch)
        reached.set()
        go_on.wait(10)

    lines = LineAssembler(50 * MB)
    thread = threading.Thread(target=follow_output, args=(AttachedSource(ends[1]), slow, lines, lambda: None))
    thread.start()
    ends[0].sendall(frame(1, b"first\n"))
    assert reached.wait(10)
    ends[0].settimeout(0.2)
    sent, held_back = 0, False
    while not held_back:
        try:
            sent += ends[0].send(frame(1, b"x" * 9999 + b"\n"))
        except TimeoutError:
            held_back = True
        assert sent < 8 * MB
    go_on.set()
    ends[0].close()
    thread.join(10)
    assert text(batches).startswith(b"first\n")


def test_over_the_limit_is_told_once_and_reading_goes_on(ends: tuple[socket.socket, Attachment]) -> None:
    store = Store()
    thread, warned = start(ends[1], store, limit=100)
    for _ in range(50):
        ends[0].sendall(frame(1, b"0123456789\n"))
    ends[0].close()
    thread.join(10)
    assert warned == ["over"]
    assert len(text(store.batches)) == 101  # the newline that ends the cut line


def test_a_stream_that_ends_without_a_byte_stores_nothing(ends: tuple[socket.socket, Attachment]) -> None:
    store = Store()
    thread, _ = start(ends[1], store)
    ends[0].close()
    thread.join(10)
    assert store.batches == []


@pytest.mark.parametrize("how", ["closed by us", "not exited"])
def test_a_reading_that_is_cut_off_stores_what_came_and_leaves_the_begun_line_begun(
    ends: tuple[socket.socket, Attachment], how: str
) -> None:
    store, caught = Store(), []
    source = AttachedSource(ends[1], lambda: how != "not exited")
    lines = LineAssembler(MB)

    def read() -> None:
        try:
            follow_output(source, store, lines, lambda: None)
        except LogCut as error:
            caught.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    ends[0].sendall(frame(1, b"whole\nbegun"))
    store.wait_for_text(b"begun")
    if how == "closed by us":
        source.close()
    else:
        ends[0].close()
    thread.join(10)
    assert len(caught) == 1
    assert (text(store.batches), store.batches[-1].stdout_tail) == (b"whole\n", b"begun")
    assert store.batches[-1].stdout == lines.stdout == Cursor(1, 6)
