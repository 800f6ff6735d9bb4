"""The gaps of a log and their messages. One query at most; changes nothing."""

from typing import Any
from uuid import UUID

from cronium_admin.logs.models import LogGap

LIMIT, SPLIT = "limit", "split"
GONE, UNREAD, NOT_STORED = "container_gone", "unread", "not_stored"
MESSAGES = {
    "engine_lost": "The Docker Engine lost a part of its log: lines are missing here.",
    "engine_restarted": "The Docker Engine restarted here: lines that were in its memory may be missing.",
    "rotated": "While no worker read the output, the script exceeded the log limit: lines are missing here.",
    SPLIT: "This line is longer than 1 MB: it continues in the next line of its stream.",
    GONE: "The script's container was removed from outside Cronium: later output is missing.",
    UNREAD: "The rest of the output could not be read: later output is missing.",
    NOT_STORED: "Later output could not be stored. The server's log has the cause.",
    "uncounted": "While no worker read the output, the script may have written more past the limit. It is not counted.",
}
CAUSES = (LIMIT, *MESSAGES)


def list_gaps(run_id: UUID, count: int, lines: int, dropped_lines: int, dropped_bytes: int) -> list[dict[str, Any]]:
    """The gaps in order, as GapOut has them; `lines` and `bytes` are None if unknown. No query if `count` is 0."""
    rows = LogGap.objects.filter(run_id=run_id).order_by("after_seq", "pk") if count else ()
    gaps = [_make_gap(gap.after_seq, gap.cause, MESSAGES.get(gap.cause, gap.cause)) for gap in rows]
    if dropped_bytes:
        message = f"The log was full: {dropped_lines:,} lines, {dropped_bytes:,} bytes after that were not kept."
        gaps.append(_make_gap(lines, LIMIT, message, dropped_lines, dropped_bytes))
    return gaps


def count_lost(rows: list[dict[str, Any]]) -> int:
    return sum(row["cause"] not in (LIMIT, SPLIT) for row in rows)


def _make_gap(
    after: int, cause: str, message: str, lines: int | None = None, size: int | None = None
) -> dict[str, Any]:
    return {"after": after, "cause": cause, "lines": lines, "bytes": size, "message": message}
