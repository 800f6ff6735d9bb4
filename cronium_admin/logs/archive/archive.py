"""Moves the text of logs whose runs have ended into the archive, and leaves the rows as its index.

Upload under a name of its own, read back, compare; only then the rows give their text up, a batch a transaction, and
each says where in the object it is. A reader finds every chunk whole at any moment, and a process that dies leaves
either an upload that nobody needs, or rows with which any other process goes on.
"""

import logging
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import BigIntegerField, Case, Exists, F, OuterRef, Sum, Value, When
from django.db.models.functions import Coalesce, Length

from cronium_admin.core.database.clock import Now
from cronium_admin.jobs.models import Job
from cronium_admin.logs.archive import objects
from cronium_admin.logs.archive.upload import ClaimLost, IncompleteLog, PackedLog
from cronium_admin.logs.failures import Failures
from cronium_admin.logs.models import LogChunk, LogHead, LogObject
from cronium_admin.logs.retention.due import DueLog, iterate_pages, select_older
from cronium_admin.logs.storage.base import StorageUnavailable, compute_fingerprint, open_backend
from cronium_admin.logs.throttle import Throttle

log = logging.getLogger("cronium.archive")
BATCH_SIZE = 200  # chunks a transaction
_SIZE = Coalesce(F("object_length"), Length("data"))  # the same before and after a chunk was moved


def find_archivable_logs() -> Iterator[DueLog]:
    """Whose logs have been kept in the database for long enough; none where there is no archive."""
    if settings.CONFIG.log_storage:
        age = timedelta(hours=settings.CONFIG.log_archive_after)
        why = f"it ended more than {settings.CONFIG.log_archive_after} hours ago"
        for job_id in [None, *Job.objects.values_list("pk", flat=True)]:
            yield from iterate_pages(select_older(age, job_id).filter(log_head__archived_at=None), why)


def archive_due_logs(pace: Throttle) -> Iterator[DueLog]:
    """Go on with what was begun, then move what is due; each as it is there. Raises Unavailable or Skipped at the end,
    and Unavailable at once where the storage is away: then later."""
    objects.expire_claims()
    failures = Failures("moved to the archive")
    for begun in _find_unfinished():
        with failures.skip_failed(f"run {begun.run_id}"):
            _point_chunks_to_object(begun, pace)
    for one in find_archivable_logs():
        pace.raise_if_stopped()
        is_moved = False
        with failures.skip_failed(one.name):
            is_moved = _move_log(one, pace)
        if is_moved:
            yield one
    failures.raise_failures()


def _move_log(one: DueLog, pace: Throttle) -> bool:
    """False where the log is not whole, or another process is at it."""
    if not _has_all_lines(one):
        return False
    stored = _find_stored_object(one.run_id) or _upload_log(one.run_id, settings.CONFIG.log_storage, pace)
    if stored:
        _point_chunks_to_object(stored, pace)
    return stored is not None


def _has_all_lines(one: DueLog) -> bool:
    """Whether the database has all the lines that the head counts; what it has not nobody must move."""
    lines = LogChunk.objects.filter(run_id=one.run_id).aggregate(lines=Sum("lines"))["lines"]
    if lines != one.lines:
        words = "the log of %s stays in the database, which has %s of its %s lines"
        log.error(words, one.name, lines, one.lines, extra={"run_id": str(one.run_id)})
    return bool(lines == one.lines)


def _find_unfinished() -> list[LogObject]:
    """Stored, while some rows have their text still: that needs no archive to be gone on with."""
    waiting = LogHead.objects.filter(pk=OuterRef("run_id"), archived_at=None)
    return list(LogObject.objects.filter(Exists(waiting), state=LogObject.State.STORED))


def _find_stored_object(run_id: UUID) -> LogObject | None:
    return LogObject.objects.filter(run_id=run_id, state=LogObject.State.STORED).first()


def _upload_log(run_id: UUID, url: str, pace: Throttle) -> LogObject | None:
    """The object with the log's text, verified; None when somebody else is at it or the log is not whole."""
    store = open_backend(url)
    one = objects.claim_object(run_id, url)
    if one is None:
        return None
    try:
        packed = PackedLog(one, run_id, pace)
        store.write_object(one.name, packed)
        packed.check_complete()
        if compute_fingerprint(store, one.name, packed.extend_claim) != (packed.size, packed.sha256):
            log.error("%s gives back other bytes than it was given; the log stays in the database", one)
            raise StorageUnavailable
        if not objects.mark_stored(one, packed.size, packed.sha256):
            raise ClaimLost
    except ClaimLost:
        log.warning("%s is nobody's any more: its run's log was removed, or others took this process for dead", one)
        store.delete_object(one.name)
        return None
    except IncompleteLog as error:
        log.error("the log of run %s stays in the database: %s", run_id, error, extra={"run_id": str(run_id)})
        return None
    finally:
        objects.abandon_claim(one)  # unless it is stored
    return _find_stored_object(run_id)


def _point_chunks_to_object(stored: LogObject, pace: Throttle) -> None:
    """Let every chunk say where its text is, and give it up. Two processes that do the same write the same."""
    assert stored.run_id is not None
    chunks = LogChunk.objects.filter(run_id=stored.run_id).order_by("first_seq")
    first = chunks.filter(object_offset=None).values_list("first_seq", flat=True).first()
    if first is not None and chunks.aggregate(size=Sum(_SIZE))["size"] != stored.bytes:
        log.error("%s is not as long as its log; nothing is moved", stored)
        return
    at = chunks.filter(first_seq__lt=first or 0).aggregate(size=Sum(_SIZE))["size"] or 0
    rows = chunks.annotate(size=_SIZE).values_list("pk", "first_seq", "size")
    while first is not None and (batch := list(rows.filter(first_seq__gte=first)[:BATCH_SIZE])):
        places = {}
        for pk, seq, size in batch:
            places[pk], at, first = at, at + size, seq + 1
        with pace.run_step():
            _replace_text_by_offset(places)
    LogHead.objects.filter(pk=stored.run_id, archived_at=None).update(archived_at=Now())


def _replace_text_by_offset(places: dict[int, int]) -> None:
    """One UPDATE: row by row where its text begins in the object, how long it is there, and nothing here."""
    offset = Case(*(When(pk=pk, then=Value(at)) for pk, at in places.items()), output_field=BigIntegerField())
    waiting = LogChunk.objects.filter(pk__in=places, object_offset=None)
    waiting.update(object_offset=offset, object_length=Length("data"), data=b"")
