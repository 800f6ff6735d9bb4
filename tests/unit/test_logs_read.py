"""Reading the log: windows at any position, search, and the API's two routes."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from cronium_admin.logs import read
from cronium_admin.logs.models import LogChunk, LogHead
from cronium_admin.logs.store import RunLog, commit_writes
from cronium_admin.runs.models import Run
from tests.conftest import Api
from tests.unit.test_logs_store import batch

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>\x1b[31mred\x1b]0;title\x07\u202e&amp;"


def write(run: Run, *parts: tuple[int, bytes], seal: bool = True) -> RunLog:
    log = RunLog(run.pk, 0)
    for part in parts:
        commit_writes([log.prepare_write(batch(part))])
    if seal:
        commit_writes([log.prepare_seal()])
        values = {"log_lines": log.lines, "log_bytes": log.bytes, "log_digest": log.digest}
        Run.objects.filter(pk=run.pk).update(status="succeeded", **values)
    return log


@pytest.fixture
def long_run(run: Run) -> Run:
    """5,000 lines in batches of 250, both streams, in several chunks."""
    parts = []
    for at in range(0, 5000, 250):
        text = "".join(f"line {number} {'x' * 60}\n" for number in range(at + 1, at + 251)).encode()
        parts.append((1 + at // 250 % 2, text))
    write(run, *parts)
    assert LogChunk.objects.filter(run=run).count() > 5
    return run


@pytest.mark.parametrize("after", [0, 1, 249, 250, 251, 2499, 3777, 4998, 4999])
@pytest.mark.parametrize("limit", [1, 2, 700])
def test_a_window_at_any_depth(long_run: Run, after: int, limit: int) -> None:
    found = read.read_lines(long_run.pk, after, limit)
    assert [line.seq for line in found] == list(range(after + 1, min(after + limit, 5000) + 1))
    assert all(line.text.startswith(b"line %d " % line.seq) for line in found)
    assert all(line.stream == 1 + (line.seq - 1) // 250 % 2 for line in found)


@pytest.mark.parametrize("after", [5000, 5001, 10**15])
def test_a_window_past_the_end_is_empty(long_run: Run, after: int) -> None:
    assert read.read_lines(long_run.pk, after) == []


def test_a_window_is_cut_by_bytes_and_holds_at_least_one_line(run: Run) -> None:
    write(run, (1, b"x" * 3000 + b"\n"), (1, b"y" * 3000 + b"\n"), (1, b"z\n"))
    assert [line.seq for line in read.read_lines(run.pk, 0, max_bytes=100)] == [1]
    assert [line.seq for line in read.read_lines(run.pk, 1, max_bytes=4000)] == [2, 3]


def test_windows_joined_are_the_log(long_run: Run) -> None:
    seq, texts = 0, []
    while found := read.read_lines(long_run.pk, seq, 333):
        seq = found[-1].seq
        texts += [line.text + b"\n" for line in found]
    assert b"".join(texts) == b"".join(read.read_text(long_run.pk))


def test_a_chunk_that_grows_between_two_reads_leaves_no_hole(run: Run) -> None:
    """Chunks are read four at a time; the fourth may grow, and a fifth appear, before the next read."""
    big = b"x" * 9 + b"\n"
    log = RunLog(run.pk, 0)
    for _ in range(3):
        commit_writes([log.prepare_write(batch((1, big * 4000)))])
    commit_writes([log.prepare_write(batch((1, b"small\n")))])
    chunks = read.iterate_chunks(run.pk, 0)
    seen = [next(chunks) for _ in range(4)]
    commit_writes([log.prepare_write(batch((1, b"grown\n")))])
    commit_writes([log.prepare_write(batch((1, big * 4000)))])
    seen += list(chunks)
    expected = 1
    for chunk in seen:
        assert chunk.first_seq == expected
        expected += chunk.lines
    after = [line.seq for line in read.read_lines(run.pk, expected - 1, 5)]
    assert after == list(range(expected, expected + 5))


# The API.


def logs(api: Api, run: Run, query: str = "") -> Any:
    answer = api.get(f"/runs/{run.pk}/logs{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_json_has_lines_next_and_ended(viewer: Api, run: Run) -> None:
    write(run, (1, b"one\n\n"), (2, b"bad \xff\xc3\n"), (1, HOSTILE.encode() + b"\n"))
    body = logs(viewer, run)
    assert [(line["seq"], line["stream"], line["text"]) for line in body["lines"]] == [
        (1, "stdout", "one"),
        (2, "stdout", ""),
        (3, "stderr", "bad \ufffd\ufffd"),
        (4, "stdout", HOSTILE),
    ]
    assert (body["next"], body["ended"]) == (4, True)
    assert body["lines"][0]["time"].startswith("2023-11-14T22:13:20")


def test_the_json_pages(viewer: Api, long_run: Run) -> None:
    first = logs(viewer, long_run, "?limit=2000")
    assert (len(first["lines"]), first["next"], first["ended"]) == (2000, 2000, False)
    last = logs(viewer, long_run, "?after=4990")
    assert ([line["seq"] for line in last["lines"]], last["next"], last["ended"]) == (
        list(range(4991, 5001)),
        5000,
        True,
    )
    beyond = logs(viewer, long_run, "?after=6000")
    assert (beyond["lines"], beyond["ended"]) == ([], True)


def test_the_json_of_a_run_that_goes_on_has_not_ended(viewer: Api, run: Run) -> None:
    assert logs(viewer, run) == {"lines": [], "next": 0, "ended": False, "gaps": []}
    write(run, (1, b"one\n"), seal=False)
    body = logs(viewer, run)
    assert (body["next"], body["ended"]) == (1, False)


def test_the_json_searches(viewer: Api, long_run: Run) -> None:
    body = logs(viewer, long_run, "?q=line%204999")
    assert [line["seq"] for line in body["lines"]] == [4999]
    assert body["ended"] is True
    assert logs(viewer, long_run, "?q=nothing+like+it")["lines"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=-1", "after"),
        ("after=x", "after"),
        ("after=" + "9" * 30, "after"),
        ("after=1.5", "after"),
        ("limit=0", "limit"),
        ("limit=5001", "limit"),
        ("limit=many", "limit"),
        ("q=" + "x" * 1001, "q"),
    ],
)
def test_a_bad_parameter_is_named(viewer: Api, run: Run, query: str, field: str) -> None:
    answer = viewer.get(f"/runs/{run.pk}/logs?{query}")
    assert answer.status_code == 422
    assert field in answer.json()["fields"]


@pytest.mark.parametrize("route", ["logs", "logs.txt"])
def test_strangers_and_unknown_runs_are_refused(stranger: Api, viewer: Api, run: Run, route: str) -> None:
    answer = stranger.get(f"/runs/{run.pk}/{route}")
    assert answer.status_code == 401
    assert set(answer.json()) >= {"detail", "code"}
    answer = viewer.get(f"/runs/{uuid.uuid4()}/{route}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert viewer.get(f"/runs/not-a-uuid/{route}").status_code == 404


def test_a_deleted_run_takes_its_log_along(run: Run) -> None:
    write(run, (1, b"one\n"))
    run.delete()
    assert not LogChunk.objects.exists()
    assert not LogHead.objects.exists()


@pytest.fixture
def many(long_run: Run, django_assert_num_queries: Callable[..., Any]) -> tuple[Run, Callable[..., Any]]:
    return long_run, django_assert_num_queries


def test_a_window_costs_the_same_at_any_depth(many: tuple[Run, Callable[..., Any]]) -> None:
    run, queries = many
    for after in (0, 2500, 4900):
        with queries(2):
            read.read_lines(run.pk, after, 50)
