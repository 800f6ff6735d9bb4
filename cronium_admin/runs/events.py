"""A run's timeline: each event's row, its line in the server's log, and the nudge to who watches the run."""

import logging
from uuid import UUID

from django.db import transaction

from cronium_admin.core import notify
from cronium_admin.core.database.clock import Now
from cronium_admin.runs.models import RunEvent

log = logging.getLogger("cronium.runs")


def record_event(run_id: UUID, kind: str, message: str = "", by: str = "") -> None:
    """The row, in the caller's transaction; the rest after its commit.

    On the database's clock: hosts' clocks differ, and the timeline is in order of time.
    """
    RunEvent.objects.create(run_id=run_id, at=Now(), kind=kind, message=message[: RunEvent.LONGEST], by=by)
    publish_event(run_id, kind)


def publish_event(run_id: UUID, kind: str) -> None:
    """The log line and the nudge without a row, for an event that the run's own row records: see `timeline`."""
    transaction.on_commit(lambda: _log_and_publish(run_id, kind))


def _log_and_publish(run_id: UUID, kind: str) -> None:
    """Its words stay out of the log: they may be the script's."""
    log.info("run %s: %s", run_id, kind, extra={"run_id": str(run_id)})
    notify.publish_changed([run_id])
