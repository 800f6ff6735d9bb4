"""Reads incidents, for the API and the pages."""

from datetime import UTC, datetime

from django.db.models import Count, QuerySet

from cronium_admin.accounts.models import User
from cronium_admin.core.errors import ApiError
from cronium_admin.core.paging import Page, filter_after, make_cursor, make_cursor_error, parse_cursor
from cronium_admin.expectations.check_models import Check
from cronium_admin.expectations.models import OPEN, Incident, Kind
from cronium_admin.jobs.models import Job

STATES = ("open", "closed")
_RUN_COLUMNS = ("number", "status", "cancel_requested_at", "started_at", "created_at")


def list_incidents(user: User) -> "QuerySet[Incident]":
    rows = Incident.objects.visible_to(user).select_related("job", "of_check", "schedule", "run", "closed_by")
    names = [field.attname for field in Incident._meta.concrete_fields]
    of_runs = [f"{run}__{column}" for run in ("run", "closed_by") for column in _RUN_COLUMNS]
    return rows.only(*names, "job__slug", "job__name", "of_check__name", "schedule__name", *of_runs)


def select_open(user: User) -> "QuerySet[Incident]":
    return Incident.objects.visible_to(user).filter(OPEN)


def count_open_by_kind() -> dict[str, int]:
    """Of all projects, with 0 for a kind without open incidents."""
    rows = Incident.objects.filter(OPEN).order_by().values_list("kind").annotate(number=Count("pk"))
    return dict.fromkeys(Kind.values, 0) | dict(rows)


def find_incident(user: User, pk: int) -> Incident:
    """Raises ApiError 404 if the user sees no such incident."""
    incident = list_incidents(user).filter(pk=pk).first() if pk < 2**63 else None
    if incident is None:
        raise ApiError(404, "not_found", f"There is no incident {str(pk)[:40]}.")
    return incident


def filter_state(rows: "QuerySet[Incident]", state: str) -> "QuerySet[Incident]":
    """All for an empty state. Raises ApiError 422 for an unknown one."""
    if state and state not in STATES:
        message = f"{state[:40]!r} is not allowed. Allowed are {', '.join(STATES)}."
        raise ApiError(422, "invalid", f"state: {message}", {"state": [message]})
    return rows.filter(OPEN) if state == "open" else rows.exclude(OPEN) if state == "closed" else rows


def fetch_page(rows: "QuerySet[Incident]", after: str, size: int) -> Page:
    """Newest first. Raises ApiError 422 for a text that is no cursor."""
    if after:
        rows = rows.filter(filter_after("opened_at", *_parse_position(after), down=True))
    found = list(rows.order_by("-opened_at", "-pk")[: size + 1])
    shown = found[:size]
    following = make_cursor(shown[-1].opened_at.isoformat(), shown[-1].pk) if len(found) > size else ""
    return Page(shown, following, not after)


def list_open_of_job(user: User, job: Job) -> list[Incident]:
    return list(list_incidents(user).filter(OPEN, job=job).order_by("opened_at", "pk"))


def list_closed_of_job(user: User, job: Job, size: int) -> list[Incident]:
    return list(list_incidents(user).filter(job=job).exclude(OPEN).order_by("-opened_at", "-pk")[:size])


def list_of_check(user: User, check: Check, size: int) -> list[Incident]:
    return list(list_incidents(user).filter(of_check=check).order_by("-opened_at", "-pk")[:size])


def _parse_position(after: str) -> tuple[datetime, int]:
    at, key = parse_cursor(after, str, int)
    try:
        moment = datetime.fromisoformat(str(at))
    except ValueError:
        raise make_cursor_error() from None
    if moment.tzinfo is None or not 1970 <= moment.year < 9999:
        raise make_cursor_error()
    return moment.astimezone(UTC), int(key)
