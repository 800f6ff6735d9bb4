"""logs.txt: exact, by range, compressed, and 304 if unchanged. And the stream that follows a log."""

import gzip
import hashlib
import json
import threading
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from cronium_admin.logs import read
from cronium_admin.logs.codec import LogDamaged, pack_text
from cronium_admin.logs.download import ByteRange, RangeNotSatisfiable, parse_range
from cronium_admin.logs.models import LogChunk
from cronium_admin.logs.retention import prune
from cronium_admin.logs.store import RunLog, commit_writes
from cronium_admin.logs.throttle import Throttle
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.state_machine import Ending
from tests.conftest import Api
from tests.unit.log_storage import give_log, text_of
from tests.unit.test_logs_read import HOSTILE, write
from tests.unit.test_logs_store import batch

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
TEXT = b"one\n\nbad \xff\x00\n" + HOSTILE.encode() + b"\n"


def body_of(answer: Any) -> bytes:
    """The bytes of an async streaming response, with the synchronous test client."""

    async def all_of_it() -> bytes:
        return b"".join([block async for block in answer.streaming_content])

    return async_to_sync(all_of_it)() if answer.streaming else answer.content


def get(api: Api, run: Run, **headers: str) -> Any:
    return api.call("GET", f"/runs/{run.pk}/logs.txt", **headers)


@pytest.fixture
def ended(run: Run) -> Run:
    write(run, (1, TEXT[:7]), (2, TEXT[7:]))
    return run


def test_the_text_is_exact_and_inert(viewer: Api, ended: Run) -> None:
    answer = get(viewer, ended)
    body = body_of(answer)
    assert body == TEXT
    assert hashlib.sha256(body).hexdigest() == Run.objects.get(pk=ended.pk).log_digest
    assert answer["Content-Length"] == str(len(TEXT))
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"].startswith("attachment")


def test_an_empty_log_is_an_empty_text(viewer: Api, run: Run) -> None:
    assert body_of(get(viewer, run)) == b""
    assert get(viewer, run, Range="bytes=0-").status_code == 416


SIZE = 1000
RANGES: list[tuple[str, ByteRange | None]] = [
    ("bytes=0-0", ByteRange(0, 1)),
    ("bytes=0-", ByteRange(0, SIZE)),
    ("bytes=10-19", ByteRange(10, 20)),
    ("bytes = 10 - 19", ByteRange(10, 20)),
    ("bytes=999-", ByteRange(999, SIZE)),
    ("bytes=990-5000", ByteRange(990, SIZE)),
    ("bytes=-1", ByteRange(999, SIZE)),
    ("bytes=-5000", ByteRange(0, SIZE)),
    ("bytes=-", None),
    ("bytes=20-10", None),
    ("bytes=0-1,5-6", None),
    ("lines=0-1", None),
    ("bytes=a-b", None),
    ("bytes=" + "9" * 30 + "-", None),
]


@pytest.mark.parametrize(("header", "part"), RANGES)
def test_a_range_is_read_as_the_standard_says(header: str, part: ByteRange | None) -> None:
    assert parse_range(header, SIZE) == part


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-2000", "bytes=-0"])
def test_a_range_past_the_end_is_told(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, SIZE)


def test_every_part_is_the_same_part_of_the_whole(viewer: Api, ended: Run) -> None:
    for start in range(0, len(TEXT), 3):
        for stop in (start + 1, start + 9, len(TEXT) + 5):
            answer = get(viewer, ended, Range=f"bytes={start}-{stop - 1}")
            expected = TEXT[start:stop]
            assert (answer.status_code, body_of(answer)) == (206, expected)
            assert answer["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/{len(TEXT)}"
            assert answer["Content-Length"] == str(len(expected))
    past = get(viewer, ended, Range=f"bytes={len(TEXT)}-")
    assert (past.status_code, past["Content-Range"]) == (416, f"bytes */{len(TEXT)}")


def test_what_has_not_changed_is_not_sent_again(viewer: Api, ended: Run) -> None:
    tag = get(viewer, ended)["ETag"]
    packed = get(viewer, ended, Accept_Encoding="gzip")["ETag"]
    for known in (tag, packed, f'"old", {packed}', "*"):
        assert get(viewer, ended, If_None_Match=known).status_code == 304
    assert get(viewer, ended, If_None_Match='"old"').status_code == 200
    assert body_of(get(viewer, ended, Range="bytes=0-3", If_Range=tag)) == TEXT[:4]
    other = get(viewer, ended, Range="bytes=0-3", If_Range='"another"')
    assert (other.status_code, body_of(other)) == (200, TEXT)


# A log that lacks a part, or whose part is shorter than it was.


def lose(run: Run, how: str) -> None:
    chunks = LogChunk.objects.filter(run=run).order_by("first_seq")
    at = {"first": 0, "last": 3}.get(how, 1)
    chunk = chunks[at]
    if how == "shorter":
        LogChunk.objects.filter(pk=chunk.pk).update(data=pack_text(b"1" * 5 + b"\n" * 5))
    else:
        chunk.delete()


@pytest.fixture
def parted(run: Run) -> Run:
    """Forty lines in four chunks."""
    return give_log(run, text_of(40), 10)


@pytest.mark.parametrize("packing", ["", "gzip"])
@pytest.mark.parametrize("how", ["middle", "last", "shorter"])
def test_a_log_that_lacks_a_part_breaks_off_and_never_looks_whole(
    viewer: Api, parted: Run, how: str, packing: str
) -> None:
    lose(parted, how)
    answer = get(viewer, parted, Accept_Encoding=packing)
    with pytest.raises(LogDamaged):
        body_of(answer)


@pytest.mark.parametrize("headers", [{}, {"Accept_Encoding": "gzip"}, {"Range": "bytes=0-9"}])
def test_one_that_lacks_its_beginning_is_refused_in_words(viewer: Api, parted: Run, headers: dict[str, str]) -> None:
    lose(parted, "first")
    answer = get(viewer, parted, **headers)
    assert (answer.status_code, answer.json()["code"]) == (502, "log_damaged")


def test_a_part_that_is_there_is_given_all_the_same(viewer: Api, parted: Run) -> None:
    last = LogChunk.objects.order_by("first_seq").last()
    assert last is not None
    lose(parted, "middle")
    answer = get(viewer, parted, Range=f"bytes={last.byte_offset}-")
    assert body_of(answer) == text_of(40)[last.byte_offset :]


@pytest.mark.parametrize("path", ["logs?limit=5", "logs?q=1&limit=5", "logs?stream=stdout", "logs/find?q=1"])
@pytest.mark.parametrize("how", ["first", "middle", "last"])
def test_who_asks_for_the_lines_that_follow_comes_to_an_end(viewer: Api, parted: Run, path: str, how: str) -> None:
    lose(parted, how)
    after = 0
    for _ in range(20):
        answer = viewer.get(f"/runs/{parted.pk}/{path}&after={after}")
        if answer.status_code != 200:
            break
        assert answer.json()["ended"] is False
        after = answer.json()["next"]
    assert (answer.status_code, answer.json()["code"]) == (502, "log_damaged")


@pytest.mark.parametrize("path", ["logs", "logs?q=1", "logs/find?q=1"])
def test_a_log_that_is_removed_meanwhile_is_not_called_damaged(
    viewer: Api, parted: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = read.read_state

    def state(run_id: Any) -> Any:
        found = look(run_id)
        prune.hide_logs([run_id], "it is old")
        prune.delete_hidden_logs([run_id], Throttle())
        return found

    monkeypatch.setattr(read, "read_state", state)
    answer = viewer.get(f"/runs/{parted.pk}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (410, "log_pruned")


def test_it_comes_packed_to_who_asks(viewer: Api, ended: Run) -> None:
    answer = get(viewer, ended, Accept_Encoding="gzip, deflate")
    assert answer["Content-Encoding"] == "gzip"
    assert gzip.decompress(body_of(answer)) == TEXT
    part = get(viewer, ended, Accept_Encoding="gzip", Range="bytes=0-3")
    assert "Content-Encoding" not in part
    assert body_of(part) == TEXT[:4]


@pytest.mark.parametrize(
    ("accepts", "packed"),
    [
        *[(one, True) for one in ("gzip", "br, gzip", "deflate,GZIP;q=0.5", "gzip; q=1.0 , br", "gzip;q=0.01")],
        *[(one, False) for one in ("", "identity", "gzip;q=0", "gzip; q=0.000, br", "x-gzipped", "br")],
    ],
)
def test_it_is_packed_for_those_alone_who_take_it(viewer: Api, ended: Run, accepts: str, packed: bool) -> None:
    assert ("Content-Encoding" in get(viewer, ended, Accept_Encoding=accepts)) is packed


@pytest.mark.parametrize(
    ("slug", "says"),
    [
        ("report", 'attachment; filename="report-1.log"'),
        ("übung", "attachment; filename*=utf-8''%C3%BCbung-1.log"),
        ('a"b\\', 'attachment; filename="a\\"b\\\\-1.log"'),
    ],
)
def test_the_file_is_named_after_job_and_number(viewer: Api, ended: Run, slug: str, says: str) -> None:
    Run.objects.filter(pk=ended.pk).update(job_slug=slug)
    assert get(viewer, ended)["Content-Disposition"] == says
    assert get(viewer, ended, Range="bytes=0-2")["Content-Disposition"] == says


def test_head_says_how_much_there_is(viewer: Api, ended: Run) -> None:
    answer = viewer.call("HEAD", f"/runs/{ended.pk}/logs.txt")
    assert (answer.status_code, answer["Content-Length"], answer["Accept-Ranges"]) == (200, str(len(TEXT)), "bytes")


def test_a_log_that_grows_gives_what_is_there(viewer: Api, run: Run) -> None:
    write(run, (1, TEXT), seal=False)
    answer = get(viewer, run)
    assert "ETag" not in answer
    assert body_of(answer) == TEXT
    assert body_of(get(viewer, run, Range="bytes=4-")) == TEXT[4:]


# Following.


def follow(api: Api, run: Run, query: str = "", **headers: str) -> bytes:
    answer = api.call("GET", f"/runs/{run.pk}/logs/follow{query}", **headers)
    assert answer.status_code == 200
    return body_of(answer)


def test_json_lines_bring_all_lines_and_the_end(viewer: Api, ended: Run) -> None:
    rows = [json.loads(line) for line in follow(viewer, ended, "?after=1").splitlines() if line]
    assert [row["seq"] for row in rows[:-1]] == [2, 3, 4]
    assert rows[2] == {"seq": 4, "time": rows[2]["time"], "stream": "stderr", "text": HOSTILE}
    run = Run.objects.get(pk=ended.pk)
    end = {"status": "succeeded", "exit_code": run.exit_code, "lines": 4, "digest": run.log_digest}
    assert rows[-1] == {"end": end | {"gaps": 0, "dropped_bytes": 0}}


def test_server_sent_events_go_on_after_the_last_id(viewer: Api, ended: Run) -> None:
    told = follow(viewer, ended, Accept="text/event-stream", Last_Event_ID="2").decode()
    events = [dict(row.split(": ", 1) for row in event.split("\n")) for event in told.strip().split("\n\n")]
    assert [(event["event"], event.get("id")) for event in events] == [("line", "3"), ("line", "4"), ("end", None)]
    assert json.loads(events[1]["data"])["text"] == HOSTILE


def test_what_comes_later_comes(viewer: Api, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(status=Status.RUNNING)
    log = RunLog(run.pk, 0)
    commit_writes([log.prepare_write(batch((1, b"one\n")))])

    def go_on() -> None:
        commit_writes([log.prepare_write(batch((2, b"two\n")))])
        commit_writes([log.prepare_seal()])
        state_machine.finish(run.pk, 0, Ending(Status.SUCCEEDED, "exit_code", "", 0, {"log_lines": 2}))

    later = threading.Timer(0.5, go_on)
    later.start()
    rows = [json.loads(line) for line in follow(viewer, run).splitlines() if line]
    later.join()
    assert [row.get("text") for row in rows] == ["one", "two", None]
    assert rows[-1]["end"]["status"] == "succeeded"
