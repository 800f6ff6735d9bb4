"""The output of a run: any JSON value of up to 5 MiB. The last value counts."""

from typing import Any

from django.core.exceptions import ValidationError

from cronium_admin.core.database.clock import Now
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.validation import validate_json
from cronium_admin.runs.models import Run
from executor.spec import MB

MAX_OUTPUT_BYTES = 5 * MB


def set_output(run: Run, output: Any) -> None:
    """The run's row must be locked."""
    try:
        text = validate_json(output, "The output", MAX_OUTPUT_BYTES)
    except ValidationError as error:
        too_large = error.code == "too_large"
        status, code = (413, "too_large") if too_large else (400, "bad_request")
        raise ApiError(status, code, error.messages[0]) from None
    Run.objects.filter(pk=run.pk).update(output=text, output_at=Now())
