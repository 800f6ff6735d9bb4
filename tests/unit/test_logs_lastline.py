"""The last line of a live run: which line it is, its visible part, and the cost of its query."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from cronium_admin.jobs.models import Job
from cronium_admin.logs import store
from cronium_admin.logs.models import LogChunk, LogHead
from cronium_admin.logs.preview import MAX_BYTES, MAX_CHARS, fetch_last_lines, make_plain_text
from cronium_admin.logs.store import RunLog, commit_writes
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from executor.spec import Batch, Cursor, Segment
from tests.users import get_admin


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"plain", "plain"),
        (b"\x1b[1;32mgreen\x1b[0m and \x1b]0;title\x07more", "green and more"),
        (b"\r[##  ] 40 %\r[### ] 60 %", "[### ] 60 %"),
        (b"windows\r", "windows"),
        (b"a\tb   c", "a b c"),
        (b"<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
        ("a\u202egpj.exe\u200b\u2066\x00\x07b".encode(), "agpj.exeb"),
        (b"bad \xff byte", "bad \ufffd byte"),
        (b"x" * 100_000, "x" * MAX_CHARS),
        (b"\x1b[31m" * 1000, ""),
    ],
)
def test_what_shows_of_a_line(line: bytes, shown: str) -> None:
    assert make_plain_text(line) == shown


def _write(run: Run, *texts: bytes, tail: bytes = b"", status: str = Status.RUNNING) -> None:
    Run.objects.filter(pk=run.pk).update(status=status)
    log = RunLog(run.pk, run.lease_epoch)
    for text in texts or (b"",):
        lines = text.count(b"\n")
        segments = (Segment(1, lines, time.time_ns(), text),) if lines else ()
        assert not commit_writes([log.prepare_write(Batch(segments, Cursor(), Cursor(), stdout_tail=tail))])


@pytest.fixture
def runs(make_job: Callable[..., Job]) -> Callable[[int], list[Run]]:
    return lambda number: [launch(make_job(), get_admin()) for _ in range(number)]


def test_which_line_is_the_last(runs: Callable[[int], list[Run]]) -> None:
    several, blank, begun, only_begun, silent = runs(5)  # the last has a log, and nothing in it
    _write(several, b"one\ntwo\n", b"three\n" + b"y" * 40_000 + b"\nfour\n")
    _write(blank, b"something\n\n  \n")
    _write(begun, b"one\n", tail=b"\r10 %\r20 %")
    _write(only_begun, tail=b"name? ")
    _write(silent)
    said = fetch_last_lines([run.pk for run in (several, blank, begun, only_begun, silent)], get_admin())
    assert [said[run.pk] for run in (several, blank, begun, only_begun, silent)] == [
        "four", "something", "20 %", "name?", "",
    ]  # fmt: skip


def test_a_last_chunk_of_blank_lines_hides_no_line(
    runs: Callable[[int], list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "GROW_INDEX_BYTES", 1)  # each batch has its own chunk
    (run,) = runs(1)
    _write(run, b"the last\n", b"\n", b"\n\n")
    assert LogChunk.objects.filter(run=run).count() == 3
    assert fetch_last_lines([run.pk], get_admin()) == {run.pk: "the last"}


def test_of_what_has_ended_or_is_huge_nothing_is_read(runs: Callable[[int], list[Run]]) -> None:
    ended, huge, waiting = runs(3)
    _write(ended, b"over\n")
    Run.objects.filter(pk=ended.pk).update(status=Status.SUCCEEDED)
    _write(huge, b"z" * (MAX_BYTES + 1) + b"\n")
    assert fetch_last_lines([ended.pk, huge.pk, waiting.pk], get_admin()) == {huge.pk: ""}
    Run.objects.filter(pk=waiting.pk).update(status=Status.STARTING)
    assert fetch_last_lines([waiting.pk], get_admin()) == {waiting.pk: ""}  # it has no log yet, and is polled again
    LogHead.objects.filter(pk=huge.pk).update(stdout_tail=b"t" * (MAX_BYTES + 1))
    assert fetch_last_lines([huge.pk], get_admin()) == {huge.pk: ""}


def test_one_query_for_all_and_none_for_none(runs: Callable[[int], list[Run]], django_assert_num_queries: Any) -> None:
    made, admin = runs(7), get_admin()
    for run in made:
        _write(run, b"at work\n")
    with django_assert_num_queries(1):
        assert set(fetch_last_lines([run.pk for run in made], admin).values()) == {"at work"}
    with django_assert_num_queries(0):
        assert fetch_last_lines([], admin) == {}


def test_the_lists_show_it_as_text(client: Client, runs: Callable[[int], list[Run]], people: Any) -> None:
    run, _ = runs(2)
    _write(run, b"<b>bold</b> \x1b[31mred\x1b[0m\n")
    client.force_login(people["viewer"])
    for address in ("/jobs/", "/runs/", f"/jobs/{run.job_slug}/"):
        page = client.get(address).content.decode()
        assert "&lt;b&gt;bold&lt;/b&gt; red" in page
        assert "<b>bold" not in page
    asked = client.get("/last-lines/", {"run": [str(run.pk), "nonsense"]})
    assert f'id="said-{run.pk}" hx-swap-oob="true">&lt;b&gt;bold' in asked.content.decode()
    version = asked.context["version"]
    assert client.get("/last-lines/", {"run": str(run.pk), "v": version}).status_code == 204
