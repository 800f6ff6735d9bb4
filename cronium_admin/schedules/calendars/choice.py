"""The calendar that a request chooses for a schedule."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from cronium_admin.schedules.models import Calendar

_MAX_NAMED = 10


def list_choices() -> QuerySet[Calendar]:
    return Calendar.objects.order_by("name")


def find_chosen_calendar(name: str | None) -> Calendar | None:
    """Raises ValidationError by field."""
    return _find(Calendar.objects.all(), name) if name else None


def lock_chosen_calendar(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a schedule with the calendar as a row, which nobody changes or deletes before the transaction ends.

    Locked before the schedule and its job, as in a change of the calendar. Raises ValidationError by field.
    """
    if "calendar" not in data:
        return dict(data)
    chosen = data["calendar"]
    name = chosen.name if isinstance(chosen, Calendar) else str(chosen or "")
    rows = Calendar.objects.select_for_update(of=("self",), no_key=True)
    return {**data, "calendar": _find(rows, name) if name else None}


def _find(rows: "QuerySet[Calendar]", name: str) -> Calendar:
    found = None if "\0" in name else rows.filter(name=name).first()
    if found is None:
        known = list(Calendar.objects.values_list("name", flat=True)[: _MAX_NAMED + 1])
        more = " and others" if len(known) > _MAX_NAMED else ""
        there = f"There are {', '.join(known[:_MAX_NAMED])}{more}." if known else "There is none yet."
        raise ValidationError({"calendar": [f"There is no calendar {name[:40]!r}. {there}"]})
    return found
