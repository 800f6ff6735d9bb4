"""The last log line of active runs, for lists of runs: one query for all runs, only the visible part of each line."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Case, F, OuterRef, Subquery, When
from django.db.models.functions import Length

from cronium_admin.accounts.models import User
from cronium_admin.core.terminal_text import strip_control
from cronium_admin.logs.codec import LogDamaged, unpack_text
from cronium_admin.logs.models import LogChunk
from cronium_admin.runs.models import ON_HOST, Run

MAX_RUNS = 50
MAX_BYTES = 2 * 1024 * 1024  # of a chunk's text or an unfinished line; larger ones are not read for a list
MAX_LINE_BYTES = 4000  # of the line
MAX_CHARS = 200  # characters
MAX_ENDED_BYTES = 64 * 1024  # of the last chunk of an ended run


def fetch_last_lines(run_ids: Iterable[UUID], user: User) -> dict[UUID, str]:
    """By run id, for runs on a host that `user` sees: the unfinished line, or the last line that is not blank."""
    ids = list(run_ids)[:MAX_RUNS]
    if not ids:
        return {}
    chunk = _select_last_chunk(MAX_BYTES)
    head = "log_head__stdout_tail", "log_head__stderr_tail"
    unfinished = [Case(When(length__lte=MAX_BYTES, then=F(tail))) for tail in head]
    runs = (
        Run.objects.visible_to(user)
        .filter(pk__in=ids, status__in=ON_HOST)
        .annotate(length=Length(head[0]) + Length(head[1]))
    )
    rows = runs.annotate(last=Subquery(chunk)).values_list("pk", "last", *unfinished)
    return {run_id: _choose_last_line(tails, last) for run_id, last, *tails in rows}


def fetch_ended_lines(run_ids: Iterable[UUID], user: User) -> dict[UUID, str]:
    """By run id, for ended runs that `user` sees: the last line that is not blank. One query, which reads the end of
    each log from the database; logs in the archive, and those with a large end, are omitted."""
    ids = list(run_ids)[:MAX_RUNS]
    if not ids:
        return {}
    runs = Run.objects.visible_to(user).filter(pk__in=ids, log_pruned_at__isnull=True, log_lines__gt=0)
    rows = runs.order_by().annotate(last=Subquery(_select_last_chunk(MAX_ENDED_BYTES))).values_list("pk", "last")
    return {run_id: line for run_id, chunk in rows if (line := _choose_last_line([], chunk))}


def _select_last_chunk(max_bytes: int) -> Any:
    small = Case(When(bytes__lte=max_bytes, then=F("data")))
    not_blank = LogChunk.objects.filter(run_id=OuterRef("pk"), bytes__gt=F("lines"))  # more than newlines
    return not_blank.order_by("-first_seq").values(small=small)[:1]


def _choose_last_line(tails: list[bytes | None], chunk: bytes | None) -> str:
    for tail in tails:
        if tail and (text := make_plain_text(bytes(tail))):
            return text
    try:
        return make_plain_text(_find_last_line(unpack_text(bytes(chunk)))) if chunk else ""
    except LogDamaged:
        return ""  # the run's page shows the error; the list must show the other runs


def _find_last_line(text: bytes) -> bytes:
    return text.rstrip().rpartition(b"\n")[2]


def make_plain_text(line: bytes) -> str:
    """The visible part of a line (see `strip_control`), with single spaces, and at most MAX_CHARS characters."""
    visible = line.rstrip(b"\r").rpartition(b"\r")[2][:MAX_LINE_BYTES]
    return " ".join(strip_control(visible.decode(errors="replace")).split())[:MAX_CHARS]
