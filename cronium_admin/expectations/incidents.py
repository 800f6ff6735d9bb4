"""Opens and closes incidents. Each change is one conditional statement, so any number of judges may call these."""

import logging
from collections.abc import Iterable
from uuid import UUID

from django.db import IntegrityError, transaction

from cronium_admin.core.database.clock import Now
from cronium_admin.expectations.models import OPEN, Closing, Incident, Kind

log = logging.getLogger("cronium.expectations")


def open_incident(incident: Incident) -> bool:
    """Stores the new incident; False if there is an open one of its kind, or was one for its deadline."""
    try:
        with transaction.atomic():
            incident.save(force_insert=True)
    except IntegrityError:  # also if its job was deleted in the meantime
        return False
    log.warning("the incident %s is open: %s", incident.pk, incident.reason)
    return True


def close_incident(pk: int, closing: Closing, text: str, run_id: UUID | None = None) -> bool:
    """False if it was closed in the meantime. `run_id`: the run that fulfilled it."""
    values = {"closed_at": Now(), "closing": closing, "closing_text": text[:500], "closed_by": run_id}
    if not Incident.objects.filter(OPEN, pk=pk).update(**values):
        return False
    log.info("the incident %s is closed: %s", pk, text)
    return True


def close_incidents(job_id: int, kinds: Iterable[Kind], closing: Closing, text: str) -> None:
    rows = Incident.objects.filter(OPEN, job=job_id, kind__in=list(kinds))
    rows.update(closed_at=Now(), closing=closing, closing_text=text)
