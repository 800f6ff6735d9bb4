"""Template filters of receipts: the times of a run with their labels. Makes no query."""

from datetime import datetime

from django import template

from cronium_admin.runs.models import Run
from cronium_admin.runs.triggers import name_trigger

register = template.Library()
register.filter("trigger_name", name_trigger)


@register.filter(name="receipt_times")
def list_times(run: Run) -> list[tuple[str, datetime | None]]:
    return [
        ("Launched", run.created_at),
        ("Claimed", run.claimed_at),
        ("Script began", run.started_at),
        ("Ended", run.finished_at),
    ]
