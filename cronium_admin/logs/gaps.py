"""Where a log is not whole, in words. Pure but for one look at the rows."""

from typing import Any
from uuid import UUID

from cronium_admin.logs.models import LogGap

LIMIT, SPLIT = "limit", "split"
GONE, UNREAD, NOT_STORED = "container_gone", "unread", "not_stored"
MESSAGES = {
    "engine_lost": "The engine had lost a part of its log when it was read again: lines are missing here.",
    "engine_restarted": "The engine was away here: lines that it held in its memory may be missing.",
    "rotated": "While no worker read it, the script wrote more than a log may hold: lines are missing here.",
    SPLIT: "The line goes on in the next one of its stream: it is longer than 1 MB.",
    GONE: "The script's container was removed by somebody else: what it wrote after this is missing.",
    UNREAD: "Nobody could read on from here: what the script wrote after this is missing.",
    NOT_STORED: "What the script wrote after this could not be stored; Cronium's own log tells more.",
    "uncounted": "While no worker read it, the script may have written more past the limit, which was not counted.",
}


def list_gaps(run_id: UUID, count: int, lines: int, dropped_lines: int, dropped_bytes: int) -> list[dict[str, Any]]:
    """In order: `after` which line, `cause`, a sentence, and how many lines and bytes (None: nobody knows). No query
    where `count` is 0."""
    rows = LogGap.objects.filter(run_id=run_id).order_by("after_seq", "pk") if count else ()
    found = [_make_gap(gap.after_seq, gap.cause, MESSAGES.get(gap.cause, gap.cause)) for gap in rows]
    if dropped_bytes:
        words = f"The log was full: {dropped_lines:,} lines, {dropped_bytes:,} bytes after that were not kept."
        found.append(_make_gap(lines, LIMIT, words, dropped_lines, dropped_bytes))
    return found


def count_lost(rows: list[dict[str, Any]]) -> int:
    """At how many of these places the engine has lost output."""
    return sum(row["cause"] not in (LIMIT, SPLIT) for row in rows)


def _make_gap(
    after: int, cause: str, message: str, lines: int | None = None, size: int | None = None
) -> dict[str, Any]:
    return {"after": after, "cause": cause, "lines": lines, "bytes": size, "message": message}
