"""Reads the ledger."""

from datetime import datetime

from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import LAUNCHED, Occurrence


def find_previous_time(run: Run) -> datetime | None:
    """The nominal time of the schedule's run before this one; None for its first run, or a run of no schedule."""
    row = Occurrence.objects.filter(run=run.group_id).values("schedule", "nominal_at").first()
    if row is None:
        return None
    earlier = Occurrence.objects.filter(schedule=row["schedule"], nominal_at__lt=row["nominal_at"], state__in=LAUNCHED)
    return earlier.order_by("-nominal_at").values_list("nominal_at", flat=True).first()
