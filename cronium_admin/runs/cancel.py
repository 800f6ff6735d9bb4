"""Cancels runs: a queued run at once, a running one through its host."""

from cronium_admin.accounts.models import User
from cronium_admin.core.errors import ApiError
from cronium_admin.core.wakeup import wake_workers
from cronium_admin.runs import state_machine
from cronium_admin.runs.errors import make_deleted_error
from cronium_admin.runs.models import Run


def cancel(run: Run, by: User | None, actor: str = "") -> None:
    """Ends a queued run at once; sets the cancel flag of a running one, on which its host stops the container.

    `actor` is the name of what cancels it, if that is not a user.

    May be repeated. Raises ApiError 409 for a run that has already ended, and 404 for a run deleted in the meantime.
    """
    try:
        _request_cancel(run, by.pk if by else None, by.get_username() if by else actor)
    except Run.DoesNotExist:
        raise make_deleted_error(run) from None


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
