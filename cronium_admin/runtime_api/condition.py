"""The condition of a run: true or false, read by follow-up rules. The last value counts."""

from typing import Any

from cronium_admin.core.errors import ApiError
from cronium_admin.runs.models import Run


def set_condition(run: Run, condition: Any) -> None:
    """The run's row must be locked."""
    if not isinstance(condition, bool):
        raise ApiError(400, "bad_request", "The condition must be true or false.")
    Run.objects.filter(pk=run.pk).update(condition=condition)
