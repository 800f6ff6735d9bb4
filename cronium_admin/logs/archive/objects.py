"""The list of the archive's objects: claimed, stored, unwanted, gone. Each change is conditional.

An object is on the list before its first byte is uploaded and until after it is deleted. So none is forgotten in the
archive, whoever dies when.
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
CLAIM_DURATION = timedelta(minutes=15)  # as long as a slow line may take for one part of an upload
State = LogObject.State


def claim_object(run_id: UUID, store: str) -> LogObject | None:
    """A new object for the run's log under a name that nobody else writes; None while there is another one.

    To be held with `hold` while it is written.
    """
    name = f"{run_id.hex[:2]}/{run_id}-{secrets.token_hex(4)}.log"
    try:
        with transaction.atomic():
            return LogObject.objects.create(run_id=run_id, store=store, name=name, claimed_until=Now() + CLAIM_DURATION)
    except IntegrityError:
        return None


def extend_claim(one: LogObject) -> bool:
    """Longer; False when it was taken for dead, or its run's log is being removed."""
    mine = LogObject.objects.filter(pk=one.pk, state=State.WRITING, run__log_pruned_at=None)
    return bool(mine.update(claimed_until=Now() + CLAIM_DURATION))


def mark_stored(one: LogObject, size: int, sha256: str) -> bool:
    """writing -> stored: from now on chunks may point into it. False as with `hold`."""
    mine = LogObject.objects.filter(pk=one.pk, state=State.WRITING, run__log_pruned_at=None)
    return bool(mine.update(state=State.STORED, bytes=size, sha256=sha256, stored_at=Now(), claimed_until=None))


def abandon_claim(one: LogObject) -> None:
    """writing -> unwanted, for who claimed it and gives up."""
    LogObject.objects.filter(pk=one.pk, state=State.WRITING).update(state=State.UNWANTED, claimed_until=None)


def mark_unwanted(run_ids: Collection[UUID]) -> None:
    """stored -> unwanted, when the runs' logs are removed. Who still writes one finds that out with `hold`."""
    LogObject.objects.filter(run_id__in=run_ids, state=State.STORED).update(state=State.UNWANTED)


def expire_claims() -> None:
    """writing -> unwanted where the claim is over: its process died, and left what it had uploaded."""
    dead = LogObject.objects.filter(state=State.WRITING, claimed_until__lt=Now())
    dead.update(state=State.UNWANTED, claimed_until=None)


def delete_unwanted(pace: Throttle) -> tuple[int, set[str]]:
    """Delete what is unwanted, and what belongs to runs that were deleted or whose log was removed: how many are gone,
    and which stores failed.

    What failed waits for another time, and so does all else in a store that failed at MOST_IN_A_ROW.
    """
    gone, failed, in_a_row = 0, set[str](), Counter[str]()
    # On PostgreSQL `store` may commit just after `give_up` has looked: the object of a removed log is then stored.
    is_left = Q(run=None) | Q(run__log_pruned_at__isnull=False)
    unwanted = Q(state=State.UNWANTED) | Q(is_left, state=State.STORED)
    for one in list(LogObject.objects.filter(unwanted).order_by("pk")):
        pace.raise_if_stopped()
        if in_a_row[one.store] == MAX_CONSECUTIVE_FAILURES:
            continue
        try:
            if not one.shared:
                open_backend(one.store).delete_object(one.name)
        except Exception as error:  # noqa: BLE001 - logged, and tried again
            why = error.__cause__ if isinstance(error, StorageUnavailable) else repr(error)
            log.warning("%s could not be deleted (%s); it is tried again", one, why)
            failed.add(one.store)
            in_a_row[one.store] += 1
        else:
            one.delete()
            gone, in_a_row[one.store] = gone + 1, 0
    return gone, failed


def has_deletion_backlog(store: str) -> bool:
    """Whether so many objects of the store wait for their deletion that each failed upload would only add to them."""
    return LogObject.objects.filter(state=State.UNWANTED, store=store).count() >= MAX_CONSECUTIVE_FAILURES
