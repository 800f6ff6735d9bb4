"""The states of the archive's objects (LogObject): writing, stored, unwanted. Each change is a conditional UPDATE.

The row exists before the first byte is uploaded and until the object is deleted. So no object stays in the archive
unnoticed, whenever a process dies.
"""

import logging
import secrets
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from cronium_admin.core.database.clock import Now
from cronium_admin.logs.failures import MAX_CONSECUTIVE_FAILURES
from cronium_admin.logs.models import LogObject
from cronium_admin.logs.storage.base import StorageUnavailable, open_backend
from cronium_admin.logs.throttle import Throttle

log = logging.getLogger("cronium.archive")
CLAIM_DURATION = timedelta(minutes=15)  # one part of an upload may take this long on a slow connection
State = LogObject.State


def claim_object(run_id: UUID, store: str) -> LogObject | None:
    """Create a new object with a unique name for the run's log. None if the log already has an object.

    Call `extend_claim` regularly while the object is written.
    """
    name = f"{run_id.hex[:2]}/{run_id}-{secrets.token_hex(4)}.log"
    try:
        with transaction.atomic():
            return LogObject.objects.create(run_id=run_id, store=store, name=name, claimed_until=Now() + CLAIM_DURATION)
    except IntegrityError:
        return None


def extend_claim(log_object: LogObject) -> bool:
    """False if the claim has expired or the run's log is being removed."""
    claimed = LogObject.objects.filter(pk=log_object.pk, state=State.WRITING, run__log_pruned_at=None)
    return bool(claimed.update(claimed_until=Now() + CLAIM_DURATION))


def mark_stored(log_object: LogObject, size: int, sha256: str) -> bool:
    claimed = LogObject.objects.filter(pk=log_object.pk, state=State.WRITING, run__log_pruned_at=None)
    return bool(claimed.update(state=State.STORED, bytes=size, sha256=sha256, stored_at=Now(), claimed_until=None))


def abandon_claim(log_object: LogObject) -> None:
    LogObject.objects.filter(pk=log_object.pk, state=State.WRITING).update(state=State.UNWANTED, claimed_until=None)


def mark_unwanted(run_ids: Collection[UUID]) -> None:
    # stored -> unwanted. A process that is still writing an object notices the removal in `extend_claim`.
    LogObject.objects.filter(run_id__in=run_ids, state=State.STORED).update(state=State.UNWANTED)


def expire_claims() -> None:
    dead = LogObject.objects.filter(state=State.WRITING, claimed_until__lt=Now())
    dead.update(state=State.UNWANTED, claimed_until=None)


def delete_unwanted(pace: Throttle) -> tuple[int, set[str]]:
    """Delete unwanted objects, and objects of deleted runs and removed logs. Returns the number of deleted objects and
    the storages that failed.

    A failed deletion is retried later. After MAX_CONSECUTIVE_FAILURES the other objects of that storage are skipped.
    """
    deleted, failed, consecutive = 0, set[str](), Counter[str]()
    # On PostgreSQL `mark_stored` may commit just after `mark_unwanted` has read: a removed log then has an object.
    is_left = Q(run=None) | Q(run__log_pruned_at__isnull=False)
    unwanted = Q(state=State.UNWANTED) | Q(is_left, state=State.STORED)
    for log_object in list(LogObject.objects.filter(unwanted).order_by("pk")):
        pace.raise_if_stopped()
        if consecutive[log_object.store] == MAX_CONSECUTIVE_FAILURES:
            continue
        try:
            if not log_object.shared:
                open_backend(log_object.store).delete_object(log_object.name)
        except Exception as error:  # noqa: BLE001 - logged, and tried again
            cause = error.__cause__ if isinstance(error, StorageUnavailable) else repr(error)
            log.warning("%s could not be deleted (%s); the deletion is retried", log_object, cause)
            failed.add(log_object.store)
            consecutive[log_object.store] += 1
        else:
            log_object.delete()
            deleted, consecutive[log_object.store] = deleted + 1, 0
    return deleted, failed


def has_deletion_backlog(store: str) -> bool:
    # Each failed upload adds an unwanted object, so uploads pause.
    return LogObject.objects.filter(state=State.UNWANTED, store=store).count() >= MAX_CONSECUTIVE_FAILURES
