"""Records the events of a run: the row, the line in the server's log, and the notification of watchers."""

import logging
from uuid import UUID

from django.db import transaction

from cronium_admin.core import notify
from cronium_admin.core.database.clock import Now
from cronium_admin.runs.models import RunEvent

log = logging.getLogger("cronium.runs")


def record_event(run_id: UUID, kind: str, message: str = "", by: str = "") -> None:
    """Writes the row in the caller's transaction; logs and notifies after its commit.

    The time is the database's, because hosts' clocks differ and the timeline is sorted by time.
    """
    RunEvent.objects.create(run_id=run_id, at=Now(), kind=kind, message=message[: RunEvent.LONGEST], by=by)
    publish_event(run_id, kind)


def publish_event(run_id: UUID, kind: str) -> None:
    """Logs and notifies without a row, for an event that the run's own columns record; see `timeline`."""
    transaction.on_commit(lambda: _log_and_publish(run_id, kind))


def _log_and_publish(run_id: UUID, kind: str) -> None:
    # Logs only the kind of the event: the message may contain text from the script
    log.info("run %s: %s", run_id, kind, extra={"run_id": str(run_id)})
    notify.publish_changed([run_id])
