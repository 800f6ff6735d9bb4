"""The log's store: packing, growing, sealing, and the one writer for many runs."""

import hashlib
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import F

from cronium_admin.core.lease import LeaseLost
from cronium_admin.jobs.models import Job
from cronium_admin.logs import codec, read, store
from cronium_admin.logs.codec import IndexEntry, pack_index, pack_text, unpack_index, unpack_lines, unpack_text
from cronium_admin.logs.models import LogChunk, LogHead
from cronium_admin.logs.store import (
    BURST,
    GROW_BYTES,
    GROW_INDEX_BYTES,
    LogWriter,
    PendingWrite,
    RunLog,
    commit_writes,
)
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import LIVE, TERMINAL, Run
from executor.spec import Batch, Cursor, Segment
from tests.users import get_admin

committed = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def batch(*parts: tuple[int, bytes], tail: bytes = b"", ns: int = 1_700_000_000_000_000_000) -> Batch:
    """Segments of whole lines; the cursors are those of a stream that begins with them."""
    segments = tuple(Segment(stream, text.count(b"\n"), ns + at, text) for at, (stream, text) in enumerate(parts))
    return Batch(segments, Cursor(1, 2), Cursor(3, 4), stdout_tail=tail)


# Packing.


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 100_000])
def test_text_comes_back(size: int) -> None:
    for given in (bytes(size), random.Random(1).randbytes(size), b"line\n" * (size // 5)):
        assert unpack_text(pack_text(given)) == given


def test_a_text_that_would_unpack_to_more_than_a_chunk_may_hold_is_not_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = pack_text(b"x" * 100_001)
    monkeypatch.setattr(codec, "MAX_CHUNK_BYTES", 100_000)
    with pytest.raises(codec.LogDamaged):
        unpack_text(packed)


def test_an_index_comes_back() -> None:
    entries = [IndexEntry(1, 1, 0), IndexEntry(2, 2**32 - 1, 2**62), IndexEntry(1, 7, -1)]
    assert unpack_index(pack_index(entries)) == entries


def test_lines_know_their_stream_time_and_number() -> None:
    text, index = b"a\n\n\xff\x00b\n", pack_index([IndexEntry(1, 2, 10), IndexEntry(2, 1, 20)])
    assert [tuple(line) for line in unpack_lines(41, index, pack_text(text))] == [
        (41, 10, 1, b"a"),
        (42, 10, 1, b""),
        (43, 20, 2, b"\xff\x00b"),
    ]


# One run's log.


@pytest.mark.django_db
def test_small_batches_grow_one_chunk_and_large_ones_get_their_own(run: Run) -> None:
    log = RunLog(run.pk, 0)
    for number in range(20):
        commit_writes([log.prepare_write(batch((1, f"line {number}\n".encode())))])
    (chunk,) = LogChunk.objects.filter(run=run)
    assert (chunk.first_seq, chunk.lines, chunk.byte_offset, chunk.bytes) == (1, 20, 0, log.bytes)
    large = b"x" * 99 + b"\n"
    commit_writes([log.prepare_write(batch((2, large * (GROW_BYTES // 100))))])
    commit_writes([log.prepare_write(batch((1, b"after\n")))])
    rows = list(LogChunk.objects.filter(run=run).order_by("first_seq").values_list("first_seq", "lines", "byte_offset"))
    assert rows[1][0] == 21
    assert rows[1][2] == chunk.bytes
    assert sum(row[1] for row in rows) == log.lines == 20 + GROW_BYTES // 100 + 1


@pytest.mark.django_db
def test_a_chunk_of_many_batches_ends_when_its_index_is_large(run: Run) -> None:
    log, number = RunLog(run.pk, 0), 2 * (GROW_INDEX_BYTES // len(pack_index([IndexEntry(1, 1, 0)]))) + 1
    for at in range(number):
        commit_writes([log.prepare_write(batch((1 + at % 2, b"\n"), ns=at))])
    chunks = list(LogChunk.objects.filter(run=run).order_by("first_seq"))
    assert [len(chunk.index) <= GROW_INDEX_BYTES for chunk in chunks] == [True] * 3
    lines = [line for chunk in chunks for line in unpack_lines(chunk.first_seq, chunk.index, chunk.data)]
    assert [(line.seq, line.unix_ns, line.stream) for line in lines] == [
        (at + 1, at, 1 + at % 2) for at in range(number)
    ]
    assert [chunk.first_ns for chunk in chunks] == [chunk.first_seq - 1 for chunk in chunks]
    assert chunks[-1].last_ns == number - 1


@pytest.mark.django_db
def test_the_digest_is_that_of_the_text_whatever_the_batches(run: Run) -> None:
    rng, log, whole = random.Random(5), RunLog(run.pk, 0), b""
    for _ in range(200):
        parts = [
            (rng.choice((1, 2)), rng.randbytes(rng.choice((0, 3, 90, 9000))).replace(b"\n", b"") + b"\n")
            for _ in range(rng.randint(0, 4))
        ]
        whole += b"".join(text for _, text in parts)
        commit_writes([log.prepare_write(batch(*parts))])
    commit_writes([log.prepare_seal()])
    assert b"".join(read.read_text(run.pk)) == whole
    assert log.digest == hashlib.sha256(whole).hexdigest()
    assert (log.lines, log.bytes) == (whole.count(b"\n"), len(whole))
    offsets = list(LogChunk.objects.filter(run=run).order_by("first_seq").values_list("byte_offset", "bytes"))
    assert [at for at, _ in offsets] == [sum(size for _, size in offsets[:n]) for n in range(len(offsets))]


@pytest.mark.django_db
def test_the_head_has_the_cursor_and_the_tail_until_the_seal(run: Run) -> None:
    log = RunLog(run.pk, 0)
    commit_writes([log.prepare_write(batch((1, b"a\n"), tail=b"Name: "))])
    head = LogHead.objects.get(run=run)
    assert (head.lines, head.bytes, head.stdout_lines, head.stdout_bytes) == (1, 2, 1, 2)
    assert (head.stderr_lines, head.stderr_bytes, bytes(head.stdout_tail), head.sealed) == (3, 4, b"Name: ", False)
    state = read.read_state(run.pk)
    assert state is not None
    assert state.partial == (("stdout", "Name: "),)
    for _ in range(2):
        commit_writes([log.prepare_seal()])
    head.refresh_from_db()
    assert (head.sealed, bytes(head.stdout_tail), head.lines) == (True, b"", 1)


@pytest.mark.django_db
def test_a_write_that_is_repeated_stores_nothing_twice(run: Run) -> None:
    """The commit of a growing chunk, whose answer was lost, is repeated."""
    log = RunLog(run.pk, 0)
    commit_writes([log.prepare_write(batch((1, b"a\n")))])
    write = log.prepare_write(batch((1, b"b\n")))
    commit_writes([write])
    commit_writes([write])
    assert b"".join(read.read_text(run.pk)) == b"a\nb\n"


@pytest.mark.django_db
def test_an_empty_log_has_a_head_and_the_digest_of_nothing(run: Run) -> None:
    log = RunLog(run.pk, 0)
    commit_writes([log.prepare_seal()])
    assert log.digest == hashlib.sha256(b"").hexdigest()
    assert list(read.read_text(run.pk)) == []
    assert LogHead.objects.get(run=run).sealed


# Resuming a log that an earlier process began.


@pytest.mark.django_db
def test_a_log_that_is_gone_on_with_is_the_same_as_one_written_at_once(run: Run) -> None:
    """Large and small batches, both streams, interrupted at every third batch."""
    rng, whole, log = random.Random(9), b"", RunLog(run.pk, 0)
    for number in range(60):
        parts = [
            (rng.choice((1, 2)), rng.randbytes(rng.choice((3, 90, 9000))).replace(b"\n", b"") + b"\n")
            for _ in range(rng.randint(0, 3))
        ]
        whole += b"".join(text for _, text in parts)
        commit_writes([log.prepare_write(batch(*parts))])
        if number % 3 == 0:
            log = RunLog.resume(run.pk, 0)
            assert (log.lines, log.bytes) == (whole.count(b"\n"), len(whole))
            assert log.digest == hashlib.sha256(whole).hexdigest()
    commit_writes([log.prepare_seal()])
    assert b"".join(read.read_text(run.pk)) == whole
    chunks = list(LogChunk.objects.filter(run=run).order_by("first_seq"))
    assert [chunk.first_seq for chunk in chunks] == [
        1 + sum(one.lines for one in chunks[:n]) for n in range(len(chunks))
    ]
    head = LogHead.objects.get(run=run)
    assert (head.lines, head.bytes, head.sealed) == (whole.count(b"\n"), len(whole), True)


@pytest.mark.django_db
def test_going_on_brings_the_cursors_and_begins_a_chunk_of_its_own(run: Run) -> None:
    log = RunLog(run.pk, 0)
    assert (log.stdout, log.stderr) == ((0, 0), (0, 0))
    commit_writes([log.prepare_write(batch((1, b"a\n"), tail=b"Name: "))])
    assert (log.stdout, log.stderr) == ((1, 2), (3, 4))
    log = RunLog.resume(run.pk, 0)
    assert (log.stdout, log.stderr) == ((1, 2), (3, 4))
    commit_writes([log.prepare_write(batch((1, b"b\n")))])
    assert list(LogChunk.objects.filter(run=run).order_by("first_seq").values_list("first_seq", "byte_offset")) == [
        (1, 0),
        (2, 2),
    ]
    commit_writes([log.prepare_seal()])
    log = RunLog.resume(run.pk, 0)  # its end was read, and its status never written
    commit_writes([log.prepare_write(batch((2, b"c\n")))])
    assert b"".join(read.read_text(run.pk)) == b"a\nb\nc\n"
    assert not LogHead.objects.get(run=run).sealed


@pytest.mark.django_db
def test_a_sealed_log_keeps_its_cursors(run: Run) -> None:
    commit_writes([(log := RunLog(run.pk, 0)).prepare_write(batch((1, b"a\n")))])
    commit_writes([log.prepare_seal()])
    commit_writes([RunLog.resume(run.pk, 0).prepare_seal()])
    head = LogHead.objects.get(run=run)
    assert (head.lines, head.stdout_lines, head.stderr_bytes, head.sealed) == (1, 1, 4, True)


@pytest.mark.django_db
def test_a_run_without_a_log_is_gone_on_with_from_nothing(run: Run) -> None:
    log = RunLog.resume(run.pk, 0)
    assert (log.lines, log.stdout, log.digest) == (0, (0, 0), hashlib.sha256(b"").hexdigest())
    commit_writes([log.prepare_write(batch((1, b"a\n")))])
    assert b"".join(read.read_text(run.pk)) == b"a\n"


# Whose run it is.


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["new chunk", "grown chunk", "seal"])
@pytest.mark.parametrize("status", [*LIVE, *TERMINAL])
def test_what_is_not_ours_any_more_is_not_written(run: Run, status: str, kind: str) -> None:
    """Neither under an earlier lease, nor under the current lease after the run has ended."""
    log = RunLog(run.pk, 0)
    commit_writes([log.prepare_write(batch((1, b"mine\n"), tail=b"begun"))])
    if kind == "seal":
        late = log.prepare_seal()
    else:
        late = log.prepare_write(batch((1, b"late\n" if kind == "grown chunk" else b"x" * GROW_BYTES + b"\n")))
    epoch = 1 if status in LIVE else 0
    Run.objects.filter(pk=run.pk).update(status=status, lease_epoch=epoch)
    assert commit_writes([late]) == {late}
    assert b"".join(read.read_text(run.pk)) == b"mine\n"
    head = LogHead.objects.get(run=run)
    assert (head.lines, bytes(head.stdout_tail), head.sealed) == (1, b"begun", False)
    if status in LIVE:
        new = RunLog.resume(run.pk, 1)
        assert commit_writes([new.prepare_write(batch((1, b"theirs\n")))]) == set()
        assert b"".join(read.read_text(run.pk)) == b"mine\ntheirs\n"


@committed
def test_a_lost_lease_is_told_alone_and_spoils_no_other(
    writer: LogWriter, make_runs: Callable[[int], list[Run]]
) -> None:
    runs = make_runs(5)
    Run.objects.filter(pk=runs[2].pk).update(lease_epoch=7)
    writes = [RunLog(run.pk, 0).prepare_write(batch((1, b"fine\n"))) for run in runs]
    writes.append(RunLog(runs[2].pk, 7).prepare_write(batch((1, b"the new owner\n"))))
    results = in_threads(writer, writes)
    assert isinstance(results[2], LeaseLost)
    assert [result for at, result in enumerate(results) if at != 2] == [None] * 5
    assert [b"".join(read.read_text(run.pk)) for run in runs] == [
        b"the new owner\n" if at == 2 else b"fine\n" for at in range(5)
    ]
    assert in_threads(writer, [no_such_run()])[0].__class__ is LeaseLost


@pytest.mark.django_db
def test_one_commit_refuses_the_old_owner_beside_the_new_one(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(lease_epoch=1)
    old, new = (RunLog(run.pk, epoch).prepare_write(batch((1, f"{epoch}\n".encode()))) for epoch in (0, 1))
    assert commit_writes([old, new]) == {old}
    assert b"".join(read.read_text(run.pk)) == b"1\n"


@committed
def test_who_takes_a_run_over_sees_all_that_the_old_owner_will_ever_write(run: Run) -> None:
    """At any moment: a concurrent commit is waited for, or refused."""
    began = threading.Event()

    def write_until_refused() -> None:
        log = RunLog(run.pk, epoch)
        log.lines, log.bytes = mine.lines, mine.bytes
        while not commit_writes([log.prepare_write(batch((1, b"old\n" * 50)))]):
            began.set()
        connection.close()

    for epoch in range(15):
        mine = RunLog.resume(run.pk, epoch)
        began.clear()
        thread = threading.Thread(target=write_until_refused)
        thread.start()
        assert began.wait(10)
        Run.objects.filter(pk=run.pk).update(lease_epoch=F("lease_epoch") + 1)
        taken = RunLog.resume(run.pk, epoch + 1)
        commit_writes([taken.prepare_write(batch((1, b"new\n")))])
        thread.join(10)
        assert not thread.is_alive()
        whole = b"".join(read.read_text(run.pk))
        assert (whole.count(b"\n"), hashlib.sha256(whole).hexdigest()) == (taken.lines, taken.digest)
        assert LogHead.objects.get(run=run).lines == taken.lines


@pytest.mark.django_db
def test_any_write_whose_answer_was_lost_may_be_made_again(run: Run) -> None:
    """A new chunk, a growing chunk, and the seal."""
    log = RunLog(run.pk, 0)
    large = b"x" * GROW_BYTES + b"\n"
    for write in (log.prepare_write(batch((1, large))), log.prepare_write(batch((2, b"small\n"))), log.prepare_seal()):
        for _ in range(2):
            assert commit_writes([write]) == set()
    assert b"".join(read.read_text(run.pk)) == large + b"small\n"
    assert LogChunk.objects.filter(run=run).count() == 2


@committed
@pytest.mark.parametrize("count", [1, 12])
def test_a_commit_makes_as_many_queries_for_one_run_as_for_many(
    make_runs: Callable[[int], list[Run]], count: int, django_assert_num_queries: Any
) -> None:
    logs = [RunLog(run.pk, 0) for run in make_runs(count)]
    commit_writes([log.prepare_write(batch((1, b"first\n"))) for log in logs])
    writes = [
        log.prepare_write(batch((1, b"more\n" if at % 2 else b"x" * GROW_BYTES + b"\n"))) for at, log in enumerate(logs)
    ]
    with django_assert_num_queries(5):  # begin, the runs, the chunks, the heads, commit
        commit_writes(writes)


# The writer.


@pytest.fixture
def writer() -> Iterator[LogWriter]:
    made = LogWriter()
    yield made
    made.close()


@pytest.fixture
def make_runs(make_job: Callable[..., Job]) -> Callable[[int], list[Run]]:
    job = make_job()
    return lambda count: [launch(job, get_admin()) for _ in range(count)]


def in_threads(writer: LogWriter, writes: list[PendingWrite]) -> list[Exception | None]:
    """Writes all of them concurrently; returns their results."""
    results: list[Exception | None] = [None] * len(writes)

    def give(at: int) -> None:
        try:
            writer.write(writes[at])
        except Exception as error:  # noqa: BLE001 - it is the result
            results[at] = error

    threads = [threading.Thread(target=give, args=(at,), daemon=True) for at in range(len(writes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "a write never came back"
    return results


@committed
def test_what_was_written_is_there_when_write_returns(writer: LogWriter, run: Run) -> None:
    log = RunLog(run.pk, 0)
    for number in range(10):
        writer.write(log.prepare_write(batch((1, f"{number}\n".encode()))))
        assert LogHead.objects.get(run=run).lines == number + 1


@committed
def test_runs_that_write_at_once_share_a_transaction(
    writer: LogWriter, make_runs: Callable[[int], list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    first, go_on = threading.Event(), threading.Event()

    def counted(writes: list[PendingWrite]) -> set[PendingWrite]:
        sizes.append(len(writes))
        if len(sizes) == 1:
            first.set()
            go_on.wait(10)
        return commit_writes(writes)

    monkeypatch.setattr(store, "commit_writes", counted)
    runs = make_runs(9)
    writes = [RunLog(run.pk, 0).prepare_write(batch((1, f"{at}\n".encode()))) for at, run in enumerate(runs)]
    opening = threading.Thread(target=writer.write, args=(writes[0],))
    opening.start()
    assert first.wait(10)
    rest = threading.Thread(target=in_threads, args=(writer, writes[1:]))
    rest.start()
    while writer._queue.qsize() < 8:
        threading.Event().wait(0.01)
    go_on.set()
    opening.join(10)
    rest.join(10)
    assert sizes == [1, 8]
    for at, run in enumerate(runs):
        assert b"".join(read.read_text(run.pk)) == f"{at}\n".encode()


@committed
@pytest.mark.parametrize("last", ["small", "first line", "large", "seal"])
def test_many_runs_with_few_lines_share_commits(
    writer: LogWriter, make_runs: Callable[[int], list[Run]], monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """Small writes wait for each other, but not beside an urgent one."""
    sizes: list[int] = []

    def note(writes: list[PendingWrite]) -> set[PendingWrite]:
        sizes.append(len(writes))
        return commit_writes(writes)

    monkeypatch.setattr(store, "commit_writes", note)
    monkeypatch.setattr(store, "GATHER_SECONDS", 4.0 if last == "small" else 60.0)
    *logs, other, fresh = [RunLog(run.pk, 0) for run in make_runs(5)]
    for log in (*logs, other):  # first lines do not count
        writer.write(log.prepare_write(batch((1, b"first\n"))))
    for _ in range(BURST):
        writer.write(logs[0].prepare_write(batch((1, b"alone\n"))))
    sizes.clear()
    writes = [log.prepare_write(batch((1, b"together\n"))) for log in logs]
    waiting = threading.Thread(target=in_threads, args=(writer, writes))
    waiting.start()
    if last != "small":
        threading.Event().wait(0.3)
        assert not sizes
        urgent = {
            "first line": lambda: fresh.prepare_write(batch((1, b"first\n"))),
            "large": lambda: other.prepare_write(batch((1, b"x" * GROW_BYTES + b"\n"))),
            "seal": other.prepare_seal,
        }[last]()
        writer.write(urgent)
    waiting.join(20)
    assert not waiting.is_alive()
    assert sizes == [len(logs) + (last != "small")]


@committed
def test_closing_does_not_wait_for_further_writes(
    make_runs: Callable[[int], list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "GATHER_SECONDS", 60.0)
    writer = LogWriter()
    log = RunLog(make_runs(1)[0].pk, 0)
    for _ in range(1 + BURST):
        writer.write(log.prepare_write(batch((1, b"line\n"))))
    last = threading.Thread(target=writer.write, args=(log.prepare_write(batch((1, b"last\n"))),))
    last.start()
    while not writer._queue.empty():  # the writer has taken it
        threading.Event().wait(0.01)
    writer.close()
    last.join(10)
    assert not last.is_alive()
    assert b"".join(read.read_text(log.run_id)).endswith(b"last\n")


def no_such_run() -> PendingWrite:
    return RunLog(uuid.uuid4(), 0).prepare_write(batch((1, b"nobody\n")))


def no_such_number(run: Run) -> PendingWrite:
    write = RunLog(run.pk, 0).prepare_write(batch((1, b"odd\n")))
    write.head.stdout_lines = 2**70
    return write


@committed
@pytest.mark.parametrize("poison", ["no such run", "no such number", "no such value"])
def test_a_poisoned_write_spoils_no_other(
    writer: LogWriter, make_runs: Callable[[int], list[Run]], poison: str
) -> None:
    runs = make_runs(6)
    writes = [RunLog(run.pk, 0).prepare_write(batch((1, b"fine\n"))) for run in runs[:5]]
    bad = no_such_run() if poison == "no such run" else no_such_number(runs[5])
    if poison == "no such value":
        bad.head.stdout_lines = "many"  # type: ignore[assignment]
    results = in_threads(writer, [*writes[:2], bad, *writes[2:]])
    assert results[2] is not None
    assert [result for at, result in enumerate(results) if at != 2] == [None] * 5
    for run in runs[:5]:
        assert b"".join(read.read_text(run.pk)) == b"fine\n"
    in_threads(writer, [RunLog(runs[5].pk, 0).prepare_write(batch((1, b"later\n")))])  # and the writer lives
    assert b"".join(read.read_text(runs[5].pk)) == b"later\n"


@committed
def test_a_database_that_is_away_is_tried_again(writer: LogWriter, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def unwilling(writes: list[PendingWrite]) -> set[PendingWrite]:
        tries.append(len(writes))
        if len(tries) < 3:
            raise OperationalError("the database is locked")
        return commit_writes(writes)

    monkeypatch.setattr(store, "commit_writes", unwilling)
    writer.write(RunLog(run.pk, 0).prepare_write(batch((1, b"at last\n"))))
    assert tries == [1, 1, 1]
    assert b"".join(read.read_text(run.pk)) == b"at last\n"


@committed
def test_closing_stores_what_was_given(run: Run) -> None:
    writer = LogWriter()
    log = RunLog(run.pk, 0)
    writes = [log.prepare_write(batch((1, f"{number}\n".encode()))) for number in range(1)]
    done = threading.Thread(target=in_threads, args=(writer, writes))
    done.start()
    done.join(10)
    writer.close()
    assert LogHead.objects.get(run=run).lines == 1


def test_packing_never_holds_what_it_cannot_unpack() -> None:
    any_bytes: Any = random.Random(2).randbytes(2 * 1024 * 1024)
    assert unpack_text(pack_text(any_bytes)) == any_bytes
