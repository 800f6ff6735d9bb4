"""Reads a run's stored log: windows of lines, and any byte range of the whole text. Writes nothing.

Only `read_packed` knows whether a chunk's text is in the database or in the archive: all readers use it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Max

from cronium_admin.accounts.permissions import ProjectId
from cronium_admin.core.errors import ApiError
from cronium_admin.logs import gaps
from cronium_admin.logs.archive.block_cache import ObjectRef, block_cache
from cronium_admin.logs.codec import Line, LogDamaged, unpack_lines, unpack_text
from cronium_admin.logs.models import LogChunk, LogObject
from cronium_admin.logs.storage.base import ObjectMissing
from cronium_admin.runs import log_states
from cronium_admin.runs.models import TERMINAL, Run, Status

STREAMS = {1: "stdout", 2: "stderr"}
WINDOW_LINES, WINDOW_BYTES = 2000, 512 * 1024
ARCHIVED_BATCH = 64  # chunks per query if their text is in the archive
SMALL_BYTES, SMALL_BATCH = 32 * 1024, 16  # chunks per query while they are no larger: those of a slow log
READ_AHEAD, DOWNLOAD_READ_AHEAD = (
    1,
    7,
)  # blocks of the archive to read ahead: for a window, and for a download or search


class LogPruned(ApiError):
    """The run's log was removed by retention; `message` says when and why."""

    def __init__(self, message: str) -> None:
        super().__init__(410, "log_pruned", message)


@dataclass(frozen=True)
class LogState:
    """A run and its log at one moment. If `has_ended`, all lines are stored."""

    status: str
    phase: str
    reason: str
    message: str
    exit_code: int | None
    lines: int
    bytes: int
    gaps: list[dict[str, Any]]  # see gaps.list_gaps
    dropped_bytes: int
    partial: tuple[tuple[str, str], ...]  # (stream, text) of the unfinished lines
    digest: str
    cancelling: bool
    output_at: datetime | None
    condition: bool | None
    pruned: str  # why the log was removed, in a sentence; empty if it was not
    job_slug: str
    number: int
    project_id: ProjectId

    @property
    def file_name(self) -> str:
        return f"{self.job_slug}-{self.number}.log"

    @property
    def has_ended(self) -> bool:
        return self.status in TERMINAL


PHASES = {Status.QUEUED: "queued", Status.STARTING: "sandbox", Status.RUNNING: "running"}


def read_state(run_id: UUID) -> LogState | None:
    columns = ("job_slug", "number", "status", "reason", "message", "exit_code", "log_digest", "cancel_requested_at")
    outcome = ("project_id", "output_at", "condition", "log_lines", "log_bytes", "log_pruned_at", "log_pruned_why")
    counts = ("log_head__gaps", "log_head__dropped_lines", "log_head__dropped_bytes")
    head = ("log_head__lines", "log_head__bytes", "log_head__stdout_tail", "log_head__stderr_tail")
    row = Run.objects.filter(pk=run_id).values(*columns, *outcome, *head, *counts).first()
    if row is None:
        return None
    tails = ("stdout", row["log_head__stdout_tail"]), ("stderr", row["log_head__stderr_tail"])
    prefix = "log_" if row["log_pruned_at"] else "log_head__"
    return LogState(
        status=row["status"],
        phase=PHASES.get(row["status"], "ended"),
        reason=row["reason"],
        message=row["message"],
        exit_code=row["exit_code"],
        lines=row[f"{prefix}lines"] or 0,
        bytes=row[f"{prefix}bytes"] or 0,
        gaps=gaps.list_gaps(run_id, *(row[name] or 0 for name in (counts[0], "log_head__lines", *counts[1:]))),
        dropped_bytes=row["log_head__dropped_bytes"] or 0,
        partial=tuple((name, bytes(tail).decode(errors="replace")) for name, tail in tails if tail),
        digest=row["log_digest"],
        cancelling=row["cancel_requested_at"] is not None,
        output_at=row["output_at"],
        condition=row["condition"],
        pruned=log_states.describe_pruned_log(row["log_pruned_at"], row["log_pruned_why"]),
        job_slug=row["job_slug"],
        number=row["number"],
        project_id=row["project_id"],
    )


def refuse_pruned(run_id: UUID) -> None:
    """Raises LogPruned if the log was removed. Call when rows or objects are missing: retention may just have removed
    them."""
    row = Run.objects.filter(pk=run_id).values_list("log_pruned_at", "log_pruned_why").first()
    if row and (message := log_states.describe_pruned_log(*row)):
        raise LogPruned(message)


def find_object(run_id: UUID) -> ObjectRef:
    stored = LogObject.objects.filter(run_id=run_id, state=LogObject.State.STORED).first()
    if stored is None:
        refuse_pruned(run_id)
        raise ObjectMissing
    return ObjectRef(stored.store, stored.name, stored.bytes)


def read_packed(chunk: LogChunk) -> bytes:
    """The chunk's packed text. If it is archived: raises LogPruned, StorageUnavailable and ObjectMissing."""
    if chunk.object_offset is None or chunk.object_length is None:
        return bytes(chunk.data)
    place, ahead = chunk.archived or (find_object(chunk.run_id), 0)
    try:
        return block_cache.read_range(place, chunk.object_offset, chunk.object_length, ahead)
    except ObjectMissing:
        refuse_pruned(chunk.run_id)
        raise


def read_chunk_text(chunk: LogChunk) -> bytes:
    return unpack_text(read_packed(chunk))


def iterate_chunks(run_id: UUID, after: int, batch: int = 4, ahead: int = READ_AHEAD) -> Iterator[LogChunk]:
    """The chunks with lines after `after`, in order. A query reads `batch` chunks; a fast log has chunks of 256 KiB.

    Archived chunks come without text: `read_packed` fetches it, and reads `ahead` more blocks for the next chunks.
    """
    place: ObjectRef | None = None
    rows = LogChunk.objects.filter(run_id=run_id).order_by("first_seq")
    next_seq = rows.filter(first_seq__lte=after + 1).aggregate(at=Max("first_seq"))["at"] or 1
    while True:
        page = list(rows.filter(first_seq__gte=next_seq)[:batch])
        for chunk in page:
            if chunk.first_seq > next_seq:
                return  # the chunk before has grown since it was read: the next call returns its new lines
            if chunk.object_offset is not None:
                place = place or find_object(run_id)
                chunk.archived = place, ahead
            yield chunk
            next_seq = chunk.first_seq + chunk.lines
        if len(page) < batch:
            return
        if place:
            batch = ARCHIVED_BATCH
        elif all(chunk.bytes <= SMALL_BYTES for chunk in page):
            batch = SMALL_BATCH


def read_lines(run_id: UUID, after: int, limit: int = WINDOW_LINES, max_bytes: int = WINDOW_BYTES) -> list[Line]:
    """Up to `limit` lines with seq > `after`, and up to `max_bytes` of text, but at least one line if there is one."""
    lines: list[Line] = []
    size = 0
    for chunk in iterate_chunks(run_id, after):
        for line in unpack_lines(chunk.first_seq, bytes(chunk.index), read_packed(chunk)):
            if line.seq <= after:
                continue
            size += len(line.text)
            if lines and size > max_bytes:
                return lines
            lines.append(line)
            if len(lines) >= limit:
                return lines
    return lines


def read_text(run_id: UUID, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The bytes of `logs.txt` from `start` up to `stop`: every line as written, with its newline.

    Raises LogPruned if the log is removed meanwhile, and LogDamaged if a part before `stop` is missing or has another
    length.
    """
    first_seq = LogChunk.objects.filter(run_id=run_id, byte_offset__lte=start).aggregate(at=Max("first_seq"))["at"] or 1
    reached = 0
    for chunk in iterate_chunks(run_id, first_seq - 1, ahead=DOWNLOAD_READ_AHEAD):
        if stop is not None and chunk.byte_offset >= stop:
            return
        text = read_chunk_text(chunk)
        if len(text) != chunk.bytes:
            raise LogDamaged
        end = len(text) if stop is None else stop - chunk.byte_offset
        if part := text[max(0, start - chunk.byte_offset) : end]:
            yield part
        reached = chunk.byte_offset + len(text)
    if stop is None or reached < stop:
        refuse_pruned(run_id)
    if stop is not None and reached < stop:
        raise LogDamaged


def refuse_incomplete(run_id: UUID, state: LogState, after: int, reached: int) -> None:
    """Call after a read from line `after` that reached line `reached`. Raises LogPruned or LogDamaged if the run has
    ended, has more lines, and none was read: otherwise the client would request the same lines forever.
    """
    if state.has_ended and reached <= after < state.lines:
        refuse_pruned(run_id)
        raise LogDamaged
