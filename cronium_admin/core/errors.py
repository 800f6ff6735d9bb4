"""The error that rooms raise for a request that they refuse, and the form of all errors in the API.

Views and API routes turn errors into responses; this module does not depend on a request.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from pydantic import BaseModel

from cronium_admin.core.database.outage import describe_outage, find_outage, outage_log


class ApiError(Exception):
    """A refused request: HTTP `status`, machine-readable `code`, and a `message` that names the remedy."""

    def __init__(self, status: int, code: str, message: str, fields: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = dict(fields or {})


class ErrorBody(BaseModel):
    """Every error of the API: `detail` for people, `code` for programs, `fields` for forms."""

    detail: str
    code: str
    fields: dict[str, list[str]] = {}


INTERNAL_ERROR = "An internal error occurred. The server's log has the details."
# The statuses that any route may return.
ERROR_STATUSES = (400, 401, 403, 404, 409, 413, 422)
# For `response` of a route: all of them. django-ninja builds a model for each status of each route, 0.4 s of a start.
ANY_ERROR = (...,)

_TIME = "Write a date and a time with the offset, such as 2027-03-28T09:00:00Z or 2027-03-28T09:00:00+02:00."
_TIME_ERRORS = ("datetime_parsing", "datetime_from_date_parsing", "datetime_type", "timezone_aware")
_SCHEMA_MESSAGES = {
    "missing": "Required.",
    "extra_forbidden": "There is no such field here. Check its spelling.",
    **dict.fromkeys(_TIME_ERRORS, _TIME),
}


def collect_field_errors(error: ValidationError) -> dict[str, list[str]]:
    """The errors of a model or service by field; errors without a field are listed under `body`."""
    if not hasattr(error, "error_dict"):
        return {"body": list(error.messages)}
    return {("body" if name == NON_FIELD_ERRORS else name): texts for name, texts in error.message_dict.items()}


def collect_schema_errors(errors: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The errors of a request schema by field; nested fields have dots: `env.NAME`.

    A location begins with its source. In a body the parameter's name follows, which is not a field.
    """
    fields: dict[str, list[str]] = {}
    for error in errors:
        source, *location = (str(part) for part in error["loc"])
        name = ".".join(location[1:]) if source == "body" else _name_parameter(location)
        text = _SCHEMA_MESSAGES.get(error["type"]) or _format_sentence(error)
        fields.setdefault(name[:100] or "body", []).append(text)
    return fields


def _name_parameter(location: list[str]) -> str:
    # Several parameters can be one schema: its name comes first. The number of a repeated one comes last.
    return [part for part in location if not part.isdecimal()][-1]


def _format_sentence(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ").rstrip(".") + "."


def summarize_fields(fields: Mapping[str, list[str]]) -> str:
    # Some clients show only `detail`.
    parts = [f"{name}: {texts[0]}" for name, texts in list(fields.items())[:3] if texts]
    omitted = len(fields) - len(parts)
    return " ".join(parts) + (f" And {omitted} more." if omitted > 0 else "")


def convert_outage(error: BaseException | None, subject: str) -> ApiError | None:
    """The 503 for a database outage, which is also logged; None for any other error."""
    kind = find_outage(error)
    if kind is None or error is None:
        return None
    outage_log.record_failure(error, subject)
    return ApiError(503, "database_unavailable", describe_outage(kind))
