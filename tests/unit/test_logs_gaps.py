"""Gaps of a log: stored with its lines, returned by all ways of reading, part of the seal, and reported by `verify`."""

import json
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from cronium_admin.logs import gaps, read
from cronium_admin.logs.models import LogChunk, LogGap, LogHead
from cronium_admin.logs.store import RunLog, commit_writes
from cronium_admin.logs.verify import verify_log
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from executor.output.source import ENGINE_LOST, ENGINE_RESTARTED, ROTATED, UNCOUNTED
from executor.spec import Batch, Cursor, Dropped, Gap, Segment
from tests.conftest import Api
from tests.users import get_admin

pytestmark = pytest.mark.django_db
HERE = Cursor()


def test_each_cause_of_a_gap_has_a_message_and_a_row_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs/api.md").read_text()
    table = page.partition("| `cause` | meaning |\n")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.M)) == set(gaps.CAUSES)
    assert {ENGINE_LOST, ENGINE_RESTARTED, ROTATED, UNCOUNTED} <= set(gaps.MESSAGES)


def text_batch(text: bytes, *gaps: Gap, dropped: Dropped = Dropped()) -> Batch:  # noqa: B008 - frozen
    segments = (Segment(1, text.count(b"\n"), 1, text),) if text else ()
    return Batch(segments, HERE, HERE, gaps=gaps, dropped=dropped)


def seal(run: Run, log: RunLog) -> Run:
    commit_writes([log.prepare_seal()])
    facts = {"log_lines": log.lines, "log_bytes": log.bytes, "log_digest": log.digest, "log_gaps": log.gaps}
    facts |= {"log_dropped_lines": log.dropped[0], "log_dropped_bytes": log.dropped[1], "status": "succeeded"}
    Run.objects.filter(pk=run.pk).update(**facts)
    run.refresh_from_db()
    return run


@pytest.fixture
def gappy(run: Run) -> Run:
    """Six lines; a gap before the third, one within a batch, one at the end; then the limit."""
    log = RunLog(run.pk, 0)
    commit_writes([log.prepare_write(text_batch(b"1\n2\n"))])
    commit_writes([log.prepare_write(text_batch(b"3\n4\n5\n", Gap(0, "engine_restarted"), Gap(2, "engine_lost")))])
    log = RunLog.resume(run.pk, 0)  # another process continues
    commit_writes([log.prepare_write(text_batch(b"6\n"))])
    commit_writes([log.prepare_write(text_batch(b"", Gap(0, "rotated"), dropped=Dropped(1234, 56_789)))])
    return seal(run, log)


def test_a_gap_that_is_found_again_is_counted_once(run: Run) -> None:
    log = RunLog(run.pk, 0)
    commit_writes([log.prepare_write(text_batch(b"1\n", dropped=Dropped(1, 10)))])
    for _ in range(2):  # each read of a full log
        log = RunLog.resume(run.pk, 0)
        for _ in range(2):
            commit_writes(
                [log.prepare_write(text_batch(b"", Gap(0, "uncounted"), Gap(0, "uncounted"), dropped=Dropped(2, 20)))]
            )
    ended = seal(run, log)
    assert (ended.log_gaps, LogGap.objects.count(), LogHead.objects.get().gaps) == (1, 1, 1)
    assert verify_log(ended).problems == []


def test_a_log_without_its_end_says_so_in_its_seal(run: Run) -> None:
    log = RunLog(run.pk, 0)
    commit_writes([log.prepare_write(text_batch(b"1\n2\n"))])
    commit_writes([log.prepare_seal("container_gone")])
    state = read.read_state(run.pk)
    assert state is not None
    assert (places(state.gaps), log.gaps) == ([(2, "container_gone")], 1)


PLACES = [(2, "engine_restarted"), (4, "engine_lost"), (6, "rotated"), (6, "limit")]


def places(gaps: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(gap["after"], gap["cause"]) for gap in gaps]


def test_gaps_lie_between_the_lines_where_they_happened(gappy: Run) -> None:
    state = read.read_state(gappy.pk)
    assert state is not None
    assert (places(state.gaps), gappy.log_gaps) == (PLACES, 3)
    assert state.gaps[0]["lines"] is None
    assert (state.gaps[-1]["lines"], state.gaps[-1]["bytes"]) == (1234, 56_789)
    assert "56,789 bytes" in state.gaps[-1]["message"]
    assert all(gap["message"].endswith(".") for gap in state.gaps)


def test_where_a_long_line_was_split_nothing_is_lost(run: Run) -> None:
    log = RunLog(run.pk, 0)
    commit_writes([log.prepare_write(text_batch(b"long\nline\n", Gap(1, "split")))])
    log = RunLog.resume(run.pk, 0)
    commit_writes([log.prepare_write(text_batch(b"more\n", Gap(0, "engine_lost")))])
    sealed = seal(run, log)
    state = read.read_state(run.pk)
    assert state is not None
    assert places(state.gaps) == [(1, "split"), (2, "engine_lost")]
    assert (sealed.log_gaps, verify_log(sealed).problems) == (1, [])


def test_a_write_that_is_repeated_marks_a_gap_once(run: Run) -> None:
    log = RunLog(run.pk, 0)
    write = log.prepare_write(text_batch(b"1\n", Gap(0, "engine_lost")))
    commit_writes([write])
    commit_writes([write])
    assert LogGap.objects.count() == 1
    assert LogHead.objects.get().gaps == 1


def test_the_api_tells_them(viewer: Api, gappy: Run) -> None:
    assert places(viewer.get(f"/runs/{gappy.pk}/logs?limit=1").json()["gaps"]) == PLACES
    told = viewer.get(f"/runs/{gappy.pk}").json()
    assert (told["log_gaps"], told["log_dropped_lines"], told["log_dropped_bytes"]) == (3, 1234, 56_789)


def test_a_log_without_gaps_costs_no_query_for_them(run: Run, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert read.read_state(run.pk).gaps == []  # type: ignore[union-attr]


def test_a_log_that_is_what_its_seal_says_is_verified(gappy: Run) -> None:
    found = verify_log(gappy)
    assert (found.problems, found.lines, found.bytes, found.digest) == ([], 6, 12, gappy.log_digest)


def spoil(what: str, run: Run) -> None:
    chunk = LogChunk.objects.filter(run=run).order_by("-first_seq").first()
    assert chunk is not None
    if what == "a chunk is gone":
        chunk.delete()
    elif what == "a byte is another":
        data = bytes(chunk.data)
        LogChunk.objects.filter(pk=chunk.pk).update(data=data[:1] + bytes([data[1] ^ 1]) + data[2:])
    elif what == "it can't be unpacked":
        LogChunk.objects.filter(pk=chunk.pk).update(data=b"\x01no zstd frame")
    elif what == "a chunk lies elsewhere":
        LogChunk.objects.filter(pk=chunk.pk).update(byte_offset=chunk.byte_offset + 1)
    elif what == "a gap is gone":
        LogGap.objects.filter(run=run)[:1].get().delete()
    elif what == "it was never sealed":
        LogHead.objects.filter(run=run).update(sealed=False)
    else:
        Run.objects.filter(pk=run.pk).update(**json.loads(what))
    run.refresh_from_db()


@pytest.mark.parametrize(
    "what",
    [
        *("a chunk is gone", "a byte is another", "it can't be unpacked", "a chunk lies elsewhere", "a gap is gone"),
        *("it was never sealed", '{"log_lines": 7}', '{"log_bytes": 1}', '{"log_digest": "00"}'),
    ],
)
def test_whatever_is_not_as_sealed_is_found(gappy: Run, what: str) -> None:
    spoil(what, gappy)
    assert verify_log(gappy).problems


def told_by(*arguments: str) -> str:
    told = StringIO()
    call_command("logs", "verify", *arguments, stdout=told, stderr=told)
    return told.getvalue()


def test_the_command_verifies_one_or_all(gappy: Run) -> None:
    assert "1 logs match their seals, 12 bytes; 0 do not." in told_by()
    assert f"6 lines, 12 bytes, SHA-256 {gappy.log_digest}" in told_by(str(gappy.pk))


@pytest.mark.parametrize("given", [(), ("the run",)])
def test_the_command_names_the_run_and_fails(gappy: Run, given: tuple[str, ...]) -> None:
    spoil("a byte is another", gappy)
    told = StringIO()
    with pytest.raises(CommandError):
        call_command("logs", "verify", *(str(gappy.pk) for _ in given), stdout=told, stderr=told)
    assert f"{gappy.pk} {gappy}: its seal has" in told.getvalue()


def test_a_run_that_is_not_there_is_said_so(db: None) -> None:
    told, unknown = StringIO(), str(uuid4())
    with pytest.raises(CommandError):
        call_command("logs", "verify", unknown, stdout=told, stderr=told)
    assert f"{unknown}: no ended run" in told.getvalue()


def test_a_log_that_is_removed_meanwhile_is_passed_over(gappy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_one(*arguments: Any, **more: Any) -> Iterator[LogChunk]:
        yield from list(chunks(*arguments, **more))[:1]
        Run.objects.filter(pk=gappy.pk).update(log_pruned_at=timezone.now(), log_pruned_why="age")

    chunks = read.iterate_chunks
    monkeypatch.setattr(read, "iterate_chunks", read_one)
    assert "0 logs match their seals, 0 bytes; 0 do not." in told_by()


def test_a_log_whose_object_is_gone_is_told_and_the_rest_is_verified(gappy: Run, make_job: Any) -> None:
    LogChunk.objects.filter(run=gappy, first_seq=1).update(data=b"", object_offset=0, object_length=9)
    other = launch(make_job(slug="other"), get_admin())
    log = RunLog(other.pk, 0)
    commit_writes([log.prepare_write(text_batch(b"1\n"))])
    seal(other, log)
    told = StringIO()
    with pytest.raises(CommandError):
        call_command("logs", "verify", stdout=told, stderr=told)
    assert f"{gappy.pk} {gappy}: it cannot be read past line 0: This log is in the archive" in told.getvalue()
    assert "1 logs match their seals" in told.getvalue()
