"""The outbox: changes of runs, for parts of Cronium that must miss none of them, such as notifications and workflows.

The event is inserted in the transaction of the change: both are committed, or neither. A consumer is registered by
name and has a cursor. It reads the events after its cursor in order, acts, and advances the cursor. It gets each event
at least once: a process that dies before it advances the cursor leaves the events for the next. Consumers that only
write to this database use `consume_events`, which does both in one transaction: each event then counts exactly once.

Order: ids come from a sequence, and PostgreSQL commits transactions in another order. A cursor over ids would pass an
id that is committed later. So events get their `position` when they are read, under a lock: an event that is committed
later gets a later position. The events of one run have the order of its changes, since each change locks the run's row.

Without consumers nothing is inserted, and no query is added: a change has NO_CONSUMER as a condition of its own UPDATE.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import BooleanField, Exists, F, Max, Min, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL

from cronium_admin.core.database.clock import Now
from cronium_admin.jobs.models import Job, RetiredSlug
from cronium_admin.runs.models import OutboxConsumer, OutboxEvent, Run

log = logging.getLogger("cronium.outbox")
HAS_CONSUMER = Exists(OutboxConsumer.objects.all())
# As ~HAS_CONSUMER, which takes Django 0.2 ms more to write: each change of a run has it.
_SQL = f"NOT EXISTS (SELECT 1 FROM {OutboxConsumer._meta.db_table})"  # noqa: S608 - a name of ours
NO_CONSUMER = RawSQL(_SQL, [], output_field=BooleanField())  # noqa: S611 - no text of others is in it
KEPT = timedelta(days=30)  # also for a consumer that does not read
_ASSUMED_SECONDS = 60.0
_LOCK_ID = 0x63726F6E69756D  # PostgreSQL's advisory lock for positions
_assumed_until = 0.0  # by time.monotonic; until then this process assumes that there is a consumer


class NoSuchConsumer(LookupError):
    def __init__(self, name: str) -> None:
        super().__init__(f"There is no consumer {name!r} of the outbox. Call register_consumer first.")


@dataclass(frozen=True)
class Batch:
    """The events after the cursor `start`, in order. Advance the cursor to `end` after you have handled them."""

    start: int
    events: Sequence[OutboxEvent]

    @property
    def end(self) -> int:
        return self.events[-1].position or self.start if self.events else self.start


def update_run(run_id: UUID, expected: Q, kind: str, changes: Mapping[str, Any]) -> bool:
    """Executes a conditional UPDATE and, if there is a consumer, inserts its event; False if nothing was changed.

    Call it inside a transaction.
    """
    global _assumed_until
    rows = Run.objects.filter(expected, pk=run_id)
    if time.monotonic() >= _assumed_until and rows.filter(NO_CONSUMER).update(**changes):
        return True
    if not rows.update(**changes):
        return False
    if time.monotonic() >= _assumed_until:
        _assumed_until = time.monotonic() + _ASSUMED_SECONDS
    insert_event(run_id, kind, changes)
    return True


def insert_event(run_id: UUID, kind: str, changes: Mapping[str, Any]) -> None:
    """Call after the change, in its transaction, and only if HAS_CONSUMER: then there is a consumer."""
    status, reason = str(changes.get("status", "")), changes.get("reason", "")
    OutboxEvent.objects.create(run_id=run_id, kind=kind, status=status, reason=reason)


def register_consumer(name: str, seconds: float = 10.0) -> bool:
    """Registers the consumer, if it is not known. Its cursor is at the end: it gets no past events.

    Returns True after all transactions have ended that began without knowing it: every change that is committed
    afterwards is delivered. Returns False if such a transaction is still open after `seconds`: call it again. Do not
    call it inside a transaction.
    """
    with transaction.atomic(durable=True):
        _lock_positions()
        if not OutboxConsumer.objects.filter(name=name).exists():
            OutboxConsumer.objects.create(name=name, position=_assign_positions())
            log.info("the outbox has a new consumer: %s", name)
    return _await_writers(seconds)


def remove_consumer(name: str) -> bool:
    """Deletes the consumer and its cursor; False if there is none. Retention removes its unread events."""
    return bool(OutboxConsumer.objects.filter(name=name).delete()[0])


def read_events(consumer: str, limit: int = 100) -> Batch:
    """Returns the next events of the consumer, oldest first; its cursor stays. Raises NoSuchConsumer.

    Do not call it inside a transaction, which would block all other consumers.
    """
    if OutboxEvent.objects.filter(position=None).exists():
        with transaction.atomic(durable=True):
            _lock_positions()
            _assign_positions()
    start = OutboxConsumer.objects.filter(name=consumer).values_list("position", flat=True).first()
    if start is None:
        raise NoSuchConsumer(consumer)
    return Batch(start, list(OutboxEvent.objects.filter(position__gt=start).order_by("position")[:limit]))


def advance_cursor(consumer: str, start: int, end: int) -> bool:
    """Moves the cursor from `start` to `end`; False if another process has moved it, which then did the same work."""
    return bool(OutboxConsumer.objects.filter(name=consumer, position=start).update(position=end, moved_at=Now()))


def consume_events(consumer: str, handle: Callable[[Sequence[OutboxEvent]], None], limit: int = 100) -> int:
    """Reads, handles and advances in one transaction; returns the number of events.

    An error of `handle` rolls all of it back, so its writes to this database take effect exactly once per event.
    Returns 0 also if another process was faster. `handle` must not wait for anything else: PostgreSQL ends the
    transaction of a process that pauses for a minute.
    """
    batch = read_events(consumer, limit)
    if not batch.events:
        return 0
    with transaction.atomic():
        _limit_pauses("60s")
        if not advance_cursor(consumer, batch.start, batch.end):  # other processes wait here for this transaction
            return 0
        handle(batch.events)
    return len(batch.events)


def find_passed_events() -> "QuerySet[OutboxEvent]":
    """The events that all consumers have passed; without a consumer, all."""
    lowest = OutboxConsumer.objects.aggregate(lowest=Min("position"))["lowest"]
    if lowest is None:
        return OutboxEvent.objects.filter(NO_CONSUMER)
    return OutboxEvent.objects.filter(position__lte=lowest)


def pass_expired_events() -> list[str]:
    """Advances each cursor past the events older than KEPT; returns the consumers that miss events by it.

    Otherwise a consumer that is never used again would keep all events.
    """
    young = OutboxEvent.objects.filter(at__gte=Now() - KEPT)
    if not OutboxEvent.objects.filter(at__lt=Now() - KEPT).exists():
        return []
    with transaction.atomic():
        _lock_positions()
        last = _assign_positions()
        first_young = young.aggregate(first=Min("position"))["first"]
        end = last if first_young is None else first_young - 1
        missed = Exists(OutboxEvent.objects.filter(position__gt=OuterRef("position"), position__lte=end))
        late = OutboxConsumer.objects.filter(missed).select_for_update(of=("self",))
        names = list(late.values_list("name", flat=True))
        OutboxConsumer.objects.filter(name__in=names, position__lt=end).update(position=end, moved_at=Now())
    return names


def _limit_pauses(most: str) -> None:
    # PostgreSQL ends this transaction if its process is frozen for so long: others wait for its locks.
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [most])


def _lock_positions() -> None:
    # One transaction at a time assigns positions, so that they are committed in their order. SQLite has one writer.
    if connection.vendor == "postgresql":
        _limit_pauses("10s")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_ID])


def _assign_positions() -> int:
    """Numbers the committed events without a position, in the order of their ids; returns the last position."""
    ends = (model.objects.aggregate(last=Max("position"))["last"] for model in (OutboxConsumer, OutboxEvent))
    last = max(int(end or 0) for end in ends)
    ids = OutboxEvent.objects.filter(position=None).aggregate(first=Min("pk"), last=Max("pk"))
    if ids["first"] is None:
        return last
    # Positions have gaps, as ids have. An event that is committed at this moment and has a lower id waits.
    new = OutboxEvent.objects.filter(position=None, pk__range=(ids["first"], ids["last"]))
    new.update(position=F("pk") + (last + 1 - ids["first"]))
    return last + 1 + int(ids["last"] - ids["first"])


def _await_writers(seconds: float) -> bool:
    """On PostgreSQL, waits for the transactions that may change a run and have not seen the current consumers.

    Each has locked one of the tables before the snapshot in which it searched for consumers. None waits for this
    process.
    """
    if connection.vendor != "postgresql":
        return True  # one writer at a time
    query = """
        SELECT virtualtransaction FROM pg_locks
        WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND pid <> pg_backend_pid()
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND relation IN (%s::regclass, %s::regclass, %s::regclass)
    """
    tables = [model._meta.db_table for model in (Run, Job, RetiredSlug)]  # the last two for a launch
    end, waited_for = time.monotonic() + seconds, None
    while True:
        with connection.cursor() as cursor:
            cursor.execute(query, tables)
            found = {row[0] for row in cursor.fetchall()}
        waited_for = found if waited_for is None else waited_for & found
        if not waited_for:
            return True
        if time.monotonic() >= end:
            log.warning("consumers of the outbox wait for %d open transactions that change runs", len(waited_for))
            return False
        time.sleep(0.05)
