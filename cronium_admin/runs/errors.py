"""Errors that several actions on a run share."""

from cronium_admin.core.errors import ApiError
from cronium_admin.runs.models import Run


def make_deleted_error(run: Run) -> ApiError:
    return ApiError(404, "not_found", f"The run {run} was deleted a moment ago.")
