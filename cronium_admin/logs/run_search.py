"""Searches the logs of many runs, newest first: bounded in runs, bytes, lines and seconds. A search continues at its
cursor, where the one before it stopped."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import QuerySet

from cronium_admin.core.errors import ApiError
from cronium_admin.core.paging import Page, fetch_newest_page, make_cursor
from cronium_admin.logs.search import Query, find_lines
from cronium_admin.runs.models import Run

SECONDS = 2.0
MAX_RUNS = 200  # whose logs one search reads
MAX_LINES = 20  # found in one run
MAX_FOUND = 200  # found in all
MAX_BYTES = 256 * 1024  # of the found lines of one run
MAX_TEXT = 500  # characters of a found line
_RUN_SECONDS = 1.0  # in one log


@dataclass(frozen=True)
class FoundLine:
    seq: int
    stream: int
    text: str


@dataclass(frozen=True)
class FoundRun:
    """`is_cut`: the log has, or may have, more such lines."""

    run: Run
    lines: list[FoundLine]
    is_cut: bool


@dataclass
class RunSearch:
    """`next` is the cursor of the next search; empty: all runs were searched. `back_to` is the launch of the last run
    that was searched. `unread` names logs that could not be read, with the reason."""

    found: list[FoundRun] = field(default_factory=list)
    searched: int = 0
    back_to: datetime | None = None
    next: str = ""
    unread: list[tuple[Run, str]] = field(default_factory=list)


def search_runs(
    runs: QuerySet[Run],
    query: Query,
    after: str = "",
    seconds: float = SECONDS,
    is_cancelled: Callable[[], bool] = lambda: False,
    limit: int | None = None,
) -> RunSearch:
    """`runs` that have a log; at least one is searched, and at most `limit`, or MAX_RUNS.

    Raises ApiError 422 for a cursor that is none, and InvalidQuery.
    """
    query.compile_matcher()  # refuses an invalid query even without runs
    page, end, result, lines = _fetch_runs(runs, after, limit or MAX_RUNS), time.monotonic() + seconds, RunSearch(), 0
    for place, run in enumerate(page.items):
        left = end - time.monotonic()
        if place and (left <= 0 or lines >= MAX_FOUND or is_cancelled()):
            previous = page.items[place - 1]
            result.next = make_cursor(previous.created_at.isoformat(), str(previous.pk))
            return result
        found = _search_run(run, query, max(0.05, min(left, _RUN_SECONDS)), is_cancelled, result)
        result.searched, result.back_to = result.searched + 1, run.created_at
        if found:
            result.found.append(found)
            lines += len(found.lines)
    result.next = page.next
    return result


def _fetch_runs(runs: QuerySet[Run], after: str, limit: int) -> Page:
    return fetch_newest_page(select_searchable(runs), after, limit)


def select_searchable(runs: QuerySet[Run]) -> QuerySet[Run]:
    """The runs that have, or may have, a log."""
    return runs.filter(log_pruned_at__isnull=True, started_at__isnull=False)


def _search_run(
    run: Run, query: Query, seconds: float, is_cancelled: Callable[[], bool], result: RunSearch
) -> FoundRun | None:
    try:
        lines, reached = find_lines(run.pk, query, 0, MAX_LINES, MAX_BYTES, seconds, is_cancelled)
    except ApiError as error:
        result.unread.append((run, error.message))
        return None
    is_whole = run.is_live or reached >= run.log_lines
    if not lines and not is_whole:
        result.unread.append((run, f"Only its first {reached:,} of {run.log_lines:,} lines were searched."))
    if not lines:
        return None
    texts = [FoundLine(line.seq, line.stream, line.text[: MAX_TEXT * 4].decode(errors="replace")) for line in lines]
    texts = [FoundLine(line.seq, line.stream, line.text.rstrip("\r\n")[:MAX_TEXT]) for line in texts]
    return FoundRun(run, texts, len(lines) >= MAX_LINES or not is_whole)


def split_matches(text: str, query: Query) -> list[tuple[str, bool]]:
    """The parts of a line, and whether each matches, for a plain text. An expression marks nothing."""
    if query.regex or not query.text:
        return [(text, False)]
    folded, word = (text.lower(), query.text.lower()) if query.ignore_case else (text, query.text)
    if len(folded) != len(text):
        return [(text, False)]
    parts: list[tuple[str, bool]] = []
    at = 0
    while (hit := folded.find(word, at)) >= 0 and len(parts) < 100:
        parts += [(text[at:hit], False), (text[hit : hit + len(word)], True)]
        at = hit + len(word)
    return [(part, is_match) for part, is_match in [*parts, (text[at:], False)] if part]
