"""Every change of a run's status: a conditional UPDATE on the expected status and lease, with an event.

Each function returns whether it changed the row. False means that another process was faster or that the run has
ended; the caller must not change the run further.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q

from cronium_admin.core import notify
from cronium_admin.core.database.clock import Now
from cronium_admin.core.database.compiled import CompiledQuery
from cronium_admin.jobs.retry import STATUSES as RETRIED_STATUSES
from cronium_admin.runs import events, job_health, outbox, retries
from cronium_admin.runs.claim_order import CLAIM_ORDER
from cronium_admin.runs.limits import WITHIN_LIMITS
from cronium_admin.runs.models import LIVE, ON_HOST, TERMINAL, Run, RunEvent, Status
from cronium_admin.runs.row_locks import lock_job_of_retried, lock_runs
from cronium_admin.runs.shared_texts import store_report
from cronium_admin.runs.start_time import is_due
from cronium_admin.runs.timeline import describe_claim
from cronium_admin.warm import rows as warm

LEASE_DURATION = timedelta(seconds=30)
ALWAYS = Q()  # the default of `only_if`, a further condition of the UPDATE


@dataclass(frozen=True)
class Ending:
    """How a run ended: `status` is terminal, `reason` a code, `message` a sentence with the remedy."""

    status: Status
    reason: str
    message: str
    exit_code: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # further columns, such as log_digest


def _apply_transition(run_id: UUID, expected: Q, kind: str, message: str = "", by: str = "", /, **changes: Any) -> bool:
    # One conditional UPDATE and, only if it changed the row, its event; watchers are notified after the commit.
    # Without a message the event has no row: the run's columns record it, and `timeline` reads them.
    with transaction.atomic():
        return _change_row(run_id, expected, kind, message, by, **changes)


def _change_row(run_id: UUID, expected: Q, kind: str, message: str = "", by: str = "", /, **changes: Any) -> bool:
    # `_apply_transition` in the transaction of the caller
    if not outbox.update_run(run_id, expected, kind, changes):
        return False
    if message:
        events.record_event(run_id, kind, message, by)
    else:
        events.publish_event(run_id, kind)
    return True


def _find_oldest_queued() -> UUID | None:
    waiting = Run.objects.filter(is_due(), status=Status.QUEUED)
    return waiting.order_by(*CLAIM_ORDER).values_list("pk", flat=True).first()


_READ_CLAIMED = CompiledQuery(
    lambda pk: Run.objects.select_related("revision__script", "created_by").filter(pk=pk), pk=Run._meta.pk
)


def claim_next(
    host: str, owner: str, choose: Callable[[], UUID | None] = _find_oldest_queued, only_if: Q = ALWAYS
) -> Run | None:
    """queued -> starting for the run that `choose` returns; calls it again if another process claimed that run.

    `choose` may lock the row: on PostgreSQL it is called in the transaction of the claim. Returns None if `choose`
    returns None, `only_if` does not hold, or a limit allows no further run (see `limits`).
    """
    while True:
        with _lock_choice():
            if (run_id := choose()) is None:
                return None
            is_claimed = _apply_transition(
                run_id,
                only_if & Q(WITHIN_LIMITS, status=Status.QUEUED),
                "claimed",
                status=Status.STARTING,
                host=host,
                lease_owner=owner,
                lease_epoch=F("lease_epoch") + warm.compute_claim_step(owner),
                lease_expires_at=Now() + LEASE_DURATION,
                claimed_at=Now(),
            )
        if is_claimed:
            [run] = _READ_CLAIMED.fetch(pk=run_id)
            return run
        if Run.objects.filter(pk=run_id, status=Status.QUEUED).exists():
            return None  # still queued, so `only_if` did not hold, or a limit was reached at this moment


def _lock_choice() -> AbstractContextManager[Any]:
    # For a `choose` that locks the row which it returns. SQLite has no row locks, and one worker.
    return transaction.atomic() if connection.features.has_select_for_update_skip_locked else nullcontext()


def mark_running(
    run_id: UUID,
    epoch: int,
    image_digest: str,
    report: Mapping[str, Any] | None = None,
    trace: str = "",
    columns: Mapping[str, Any] | None = None,
    notes: Collection[tuple[str, str]] = (),
) -> bool:
    """starting -> running, immediately before the payload is sent: afterwards user code may have begun.

    `report` is the engine's report of the run's sandbox, stored by the same UPDATE, as are further `columns`. `notes`
    are kinds and messages of events.
    """
    with transaction.atomic():
        is_changed = _change_row(
            run_id,
            Q(status=Status.STARTING, lease_epoch=epoch, cancel_requested_at=None),
            "started",
            status=Status.RUNNING,
            started_at=Now(),
            image_digest=image_digest,
            **({"trace": trace} if trace else {}),
            **(store_report(str(run_id), report) if report else {}),
            **(columns or {}),
        )
        for kind, message in notes if is_changed else ():
            events.record_event(run_id, kind, message)
        return is_changed


def adopt(run_id: UUID, epoch: int, owner: str, message: str, only_if: Q = ALWAYS) -> bool:
    """running, under a new lease of the host's next process. The previous holder can't write any more."""
    return _apply_transition(
        run_id,
        only_if & Q(status=Status.RUNNING, lease_epoch=epoch),
        "adopted",
        message,
        lease_owner=owner,
        lease_epoch=F("lease_epoch") + 1,
        lease_expires_at=Now() + LEASE_DURATION,
    )


def release_lease(run_id: UUID, epoch: int) -> bool:
    """running, with an expired lease: its process ends while its script continues."""
    return _apply_transition(
        run_id,
        Q(status=Status.RUNNING, lease_epoch=epoch),
        "released",
        "The worker was stopped; the script continues until another worker adopts the run",
        lease_owner="",
        lease_expires_at=Now(),
    )


def requeue_abandoned(run_id: UUID, epoch: int, message: str) -> bool:
    """starting -> queued, by any process, after the lease expired: the script had not begun."""
    return _requeue_if(run_id, Q(lease_epoch=epoch, lease_expires_at__lt=Now()), message)


def end_abandoned(run_id: UUID, epoch: int, after: timedelta, ending: Ending) -> bool:
    """starting or running -> a terminal status, by any process, once the lease has been expired for `after`."""
    expired = Q(status__in=ON_HOST, lease_epoch=epoch, lease_expires_at__lt=Now() - after)
    return _end_if(run_id, expired, ending)


def requeue(run_id: UUID, epoch: int, message: str, kind: str = "requeued", only_if: Q = ALWAYS) -> bool:
    """starting -> queued: the host or its engine went away before user code began. `kind` is the kind of the event."""
    return _requeue_if(run_id, only_if & Q(lease_epoch=epoch), message, kind)


def _requeue_if(run_id: UUID, expected: Q, message: str, kind: str = "requeued") -> bool:
    # Stores the claim as an event, because the UPDATE clears the columns that record it
    with transaction.atomic():
        claim = Run.objects.filter(pk=run_id).values_list("claimed_at", "host").first()
        is_changed = _change_row(
            run_id,
            expected & Q(status=Status.STARTING, cancel_requested_at=None),
            kind,
            message,
            status=Status.QUEUED,
            lease_epoch=F("lease_epoch") + 1,  # fences off the previous holder
            host="",
            lease_owner="",
            lease_expires_at=None,
            claimed_at=None,
            warm_until=None,  # its waiting sandbox is lost
        )
        if is_changed and claim and claim[0]:
            RunEvent.objects.create(run_id=run_id, at=claim[0], kind="claimed", message=describe_claim(claim[1]))
    return is_changed


def finish(run_id: UUID, epoch: int, ending: Ending, only_if: Q = ALWAYS) -> bool:
    return _end_if(run_id, only_if & Q(status__in=ON_HOST, lease_epoch=epoch), ending)


def cancel_queued(run_id: UUID, by: str) -> bool:
    ending = Ending(Status.CANCELLED, "cancelled", f"Cancelled by {by} before it started.")
    return end_queued(run_id, ending, by)


def end_queued(run_id: UUID, ending: Ending, by: str, only_if: Q = ALWAYS) -> bool:
    """queued -> a terminal status, because of `by`."""
    return _end_if(run_id, only_if & Q(status=Status.QUEUED), ending, by)


def _end_if(run_id: UUID, expected: Q, ending: Ending, by: str = "") -> bool:
    with transaction.atomic():
        if ending.status in RETRIED_STATUSES:
            lock_job_of_retried(run_id)
        is_changed = _change_row(
            run_id,
            expected,
            str(ending.status),
            ending.message if by else "",
            by,
            status=ending.status,
            reason=ending.reason,
            message=ending.message,
            exit_code=ending.exit_code,
            finished_at=Now(),
            lease_expires_at=None,
            **ending.facts,
        )
        if is_changed:
            retries.create_next_attempt(run_id, ending.status)
            job_health.record_end(run_id, ending.status)
        return is_changed


def request_cancel(run_id: UUID, user_id: int | None, by: str) -> bool:
    """Sets the flag that the run's host reads; the status changes when the container has stopped."""
    return _apply_transition(
        run_id,
        Q(status__in=ON_HOST, cancel_requested_at=None),
        "cancel_requested",
        f"Cancel requested by {by}",
        by,
        cancel_requested_at=Now(),
        cancel_requested_by_id=user_id,
    )


def record_stop_reason(run_id: UUID, epoch: int, why: str, message: str) -> bool:
    # Stores why the lease holder is about to stop the container, for a process that takes the run over
    held = Q(status__in=ON_HOST, lease_epoch=epoch, stop_reason="")
    return _apply_transition(run_id, held, "stopping", message, stop_reason=why)


def record_first_sent(run_id: UUID, milliseconds: int) -> bool:
    # Called by the web process, while the host may write the run's `trace`: so it has its own column
    return bool(Run.objects.filter(pk=run_id, first_sent_ms=None).update(first_sent_ms=milliseconds))


def mark_cleaned(run_id: UUID, **facts: Any) -> bool:
    return bool(Run.objects.filter(~Q(status__in=LIVE), pk=run_id, cleaned_at=None).update(cleaned_at=Now(), **facts))


def renew_leases(owner: str) -> int:
    # Locked in the order in which the log writer locks them: else the two could wait for each other.
    held = Run.objects.filter(status__in=ON_HOST, lease_owner=owner)
    with transaction.atomic():
        locked = list(held.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
        return held.filter(pk__in=locked).update(lease_expires_at=Now() + LEASE_DURATION)


def record_sandbox(run_id: UUID, epoch: int, report: Mapping[str, Any]) -> bool:
    # Stores, once, the engine's report of a sandbox that is refused, for the holder of the lease
    held = Run.objects.filter(pk=run_id, status__in=ON_HOST, lease_epoch=epoch, sandbox__isnull=True)
    with transaction.atomic():
        return held.exists() and bool(held.update(**store_report(str(run_id), report)))


def seal_log(run_id: UUID, facts: Mapping[str, Any]) -> bool:
    unsealed = Run.objects.filter(pk=run_id, status__in=TERMINAL, log_digest="", log_pruned_at=None)
    return bool(unsealed.update(**facts))


def prune_log(run_id: UUID, why: str, lines: int, bytes_: int) -> bool:
    """Marks the log as removed: readers stop at once, even if a part is still stored.

    `lines` and `bytes_` are those of the stored log, because a lost run has recorded none.
    """
    ended = Run.objects.filter(pk=run_id, status__in=TERMINAL, log_pruned_at=None)
    facts = {"log_lines": lines, "log_bytes": bytes_}
    return bool(ended.update(log_pruned_at=Now(), log_pruned_why=why, **facts))


def hide_logs(run_ids: Collection[UUID], why: str) -> int:
    # `prune_log` for runs that are about to be deleted, without recording the log's facts
    ended = Run.objects.filter(pk__in=run_ids, status__in=TERMINAL, log_pruned_at=None)
    with transaction.atomic():
        lock_runs(ended)
        return ended.update(log_pruned_at=Now(), log_pruned_why=why)


def record_note(run_id: UUID, kind: str, message: str) -> None:
    # Records an event that changes no status. Ignores a run that was deleted in the meantime.
    try:
        with transaction.atomic():
            events.record_event(run_id, kind, message)
    except IntegrityError:
        if Run.objects.filter(pk=run_id).exists():
            raise


def replace_note(run_id: UUID, kind: str, message: str) -> None:
    """Changes the message of the run's last event of this kind, without a line in the server's log."""
    last = RunEvent.objects.filter(run_id=run_id, kind=kind).order_by("-at", "-id").values("pk")[:1]
    if RunEvent.objects.filter(pk__in=last).update(message=message[: RunEvent.LONGEST]):
        notify.publish_changed([run_id])
