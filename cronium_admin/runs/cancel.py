"""Cancels runs: a queued run at once, a running one through its host."""

from cronium_admin.accounts.models import User
from cronium_admin.core.errors import ApiError
from cronium_admin.core.wakeup import wake_workers
from cronium_admin.runs import state_machine
from cronium_admin.runs.errors import make_deleted_error
from cronium_admin.runs.models import LIVE, Run


def cancel(run: Run, by: User | None, actor: str = "") -> None:
    """Ends a queued run at once; sets the cancel flag of a running one, on which its host stops the container.

    Of a run that has ended, cancels its next attempt if that is live. No further attempt follows a cancelled one.
    `actor` is the name of what cancels it, if that is not a user.

    May be repeated. Raises ApiError 409 for a run that has already ended, and 404 for a run deleted in the meantime.
    """
    try:
        _cancel_group(run, by.pk if by else None, by.get_username() if by else actor)
    except Run.DoesNotExist:
        raise make_deleted_error(run) from None


def _cancel_group(run: Run, user_id: int | None, name: str) -> None:
    if run.is_live or (later := _find_live_attempt(run)) is None:
        later = run
    try:
        _request_cancel(later, user_id, name)
    except ApiError:
        # It has ended in the meantime. Its next attempt was queued in the same transaction.
        if (following := _find_live_attempt(run)) is None:
            raise
        _request_cancel(following, user_id, name)


def _find_live_attempt(run: Run) -> Run | None:
    later = Run.objects.filter(retry_of=run.group_id, attempt__gt=run.attempt, status__in=LIVE)
    return later.order_by("-attempt").first()


def _request_cancel(run: Run, user_id: int | None, name: str) -> None:
    while True:  # repeat: between the two updates the run may be claimed or requeued
        if state_machine.cancel_queued(run.pk, name):
            return
        if state_machine.request_cancel(run.pk, user_id, name):
            host = Run.objects.values_list("host", flat=True).get(pk=run.pk)
            return wake_workers(str(run.pk), f"host.{host}")
        run.refresh_from_db()
        if not run.is_live:
            raise ApiError(
                409, "already_ended", f"This run has already ended with the status {run.get_status_display().lower()}."
            )
        if run.cancel_requested_at:
            return
