"""The record of a thread that looks again and again: when it last looked, and the last time that it did not for long.

Only the database's clock counts. A step forward is a downtime. A step back undoes a downtime that ends later.
"""

from datetime import timedelta
from typing import Any

from django.db.models import Case, F, Q, QuerySet, When

from cronium_admin.core.database.clock import Now


def record_look(rows: "QuerySet[Any]", column: str, longest: timedelta) -> bool:
    """Sets `column` to now, and `down_from` and `down_until` if the last look is longer ago than `longest`."""
    is_late = Q(**{f"{column}__lt": Now() - longest})
    is_undone = Q(down_until__gt=Now())
    changed = rows.update(
        down_from=Case(When(is_late, then=F(column)), When(is_undone, then=None), default=F("down_from")),
        down_until=Case(When(is_late, then=Now()), When(is_undone, then=None), default=F("down_until")),
        **{column: Now()},
    )
    return bool(changed)
