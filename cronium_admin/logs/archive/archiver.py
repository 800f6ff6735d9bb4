"""Moves the text of logs of ended runs from the database to the archive. The chunk rows stay as its index.

A log is uploaded as one object with a unique name, read back and compared. Only then the chunk rows are updated, one
batch per transaction: the text is replaced by its offset in the object. Every chunk can be read at any moment. A
process that dies leaves either an unused upload, or rows that any other process updates later.
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
_SIZE = Coalesce(F("object_length"), Length("data"))  # the same before and after the chunk is moved


def find_archivable_logs() -> Iterator[DueLog]:
    if settings.CONFIG.log_storage:
        age = timedelta(hours=settings.CONFIG.log_archive_after)
        reason = f"it ended more than {settings.CONFIG.log_archive_after} hours ago"
        for job_id in [None, *Job.objects.values_list("pk", flat=True)]:
            yield from iterate_pages(select_older(age, job_id).filter(log_head__archived_at=None), reason)


def archive_due_logs(pace: Throttle) -> Iterator[DueLog]:
    """Complete the unfinished moves, then move all due logs; yields each log after it is moved.

    A log that fails is skipped: the end raises StorageUnavailable or LogsSkipped. If the storage is not available at
    all, StorageUnavailable is raised at once.
    """
    objects.expire_claims()
    failures = Failures("moved to the archive")
    for stored in _find_unfinished():
        with failures.skip_failed(f"run {stored.run_id}"):
            _point_chunks_to_object(stored, pace)
    for log_to_move in find_archivable_logs():
        pace.raise_if_stopped()
        is_moved = False
        with failures.skip_failed(log_to_move.name):
            is_moved = _move_log(log_to_move, pace)
        if is_moved:
            yield log_to_move
    failures.raise_failures()


def _move_log(due_log: DueLog, pace: Throttle) -> bool:
    if not _has_all_lines(due_log):
        return False
    stored = _find_stored_object(due_log.run_id) or _upload_log(due_log.run_id, settings.CONFIG.log_storage, pace)
    if stored:
        _point_chunks_to_object(stored, pace)
    return stored is not None


def _has_all_lines(due_log: DueLog) -> bool:
    lines = LogChunk.objects.filter(run_id=due_log.run_id).aggregate(lines=Sum("lines"))["lines"]
    if lines != due_log.lines:
        message = "the log of %s is incomplete and stays in the database: %s of %s lines are stored"
        log.error(message, due_log.name, lines, due_log.lines, extra={"run_id": str(due_log.run_id)})
    return bool(lines == due_log.lines)


def _find_unfinished() -> list[LogObject]:
    waiting = LogHead.objects.filter(pk=OuterRef("run_id"), archived_at=None)
    return list(LogObject.objects.filter(Exists(waiting), state=LogObject.State.STORED))


def _find_stored_object(run_id: UUID) -> LogObject | None:
    return LogObject.objects.filter(run_id=run_id, state=LogObject.State.STORED).first()


def _upload_log(run_id: UUID, url: str, pace: Throttle) -> LogObject | None:
    backend = open_backend(url)
    upload = objects.claim_object(run_id, url)
    if upload is None:
        return None
    try:
        packed = PackedLog(upload, run_id, pace)
        backend.write_object(upload.name, packed)
        packed.check_complete()
        if compute_fingerprint(backend, upload.name, packed.extend_claim) != (packed.size, packed.sha256):
            log.error("%s returns other bytes than were written; the log stays in the database", upload)
            raise StorageUnavailable
        if not objects.mark_stored(upload, packed.size, packed.sha256):
            raise ClaimLost
    except ClaimLost:
        log.warning("lost the claim on %s: the run's log was removed, or the claim expired", upload)
        backend.delete_object(upload.name)
        return None
    except IncompleteLog as error:
        log.error("the log of run %s stays in the database: %s", run_id, error, extra={"run_id": str(run_id)})
        return None
    finally:
        objects.abandon_claim(upload)  # has no effect on a stored object
    return _find_stored_object(run_id)


def _point_chunks_to_object(stored: LogObject, pace: Throttle) -> None:
    # Two processes that do this at once write the same values.
    assert stored.run_id is not None
    chunks = LogChunk.objects.filter(run_id=stored.run_id).order_by("first_seq")
    first = chunks.filter(object_offset=None).values_list("first_seq", flat=True).first()
    if first is not None and chunks.aggregate(size=Sum(_SIZE))["size"] != stored.bytes:
        log.error("%s has another size than its log; the log is not moved", stored)
        return
    offset = chunks.filter(first_seq__lt=first or 0).aggregate(size=Sum(_SIZE))["size"] or 0
    rows = chunks.annotate(size=_SIZE).values_list("pk", "first_seq", "size")
    while first is not None and (batch := list(rows.filter(first_seq__gte=first)[:BATCH_SIZE])):
        places = {}
        for pk, seq, size in batch:
            places[pk], offset, first = offset, offset + size, seq + 1
        with pace.run_step():
            _replace_text_by_offset(places)
    LogHead.objects.filter(pk=stored.run_id, archived_at=None).update(archived_at=Now())


def _replace_text_by_offset(places: dict[int, int]) -> None:
    offset = Case(*(When(pk=pk, then=Value(start)) for pk, start in places.items()), output_field=BigIntegerField())
    waiting = LogChunk.objects.filter(pk__in=places, object_offset=None)
    waiting.update(object_offset=offset, object_length=Length("data"), data=b"")
