"""A run's condition: true or false, for the rules that follow a run; the last one given counts."""

from typing import Any

from cronium_admin.core.errors import ApiError
from cronium_admin.runs.models import Run


def set_condition(run: Run, condition: Any) -> None:
    """Keep the condition of a run whose row is locked."""
    if not isinstance(condition, bool):
        raise ApiError(400, "bad_request", "The condition is true or false, nothing else.")
    Run.objects.filter(pk=run.pk).update(condition=condition)
