"""Parses and checks expiry times of tokens, for the command, the API and the page."""

import re
from datetime import UTC, datetime, timedelta

from django.utils.dateparse import parse_datetime

from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ApiError

NEVER = "never"
MAX_LIFETIME = timedelta(days=3660)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LIFETIME = re.compile(r"([0-9]{1,6})([mhdw])")
_FORMAT_HINT = "Use a lifetime such as 30d (m, h, d or w), a time such as 2027-01-31T00:00:00Z, or never."


def parse_expiry(text: str) -> datetime | None:
    """Parses `30d`, a date or a time (UTC without a time zone); None for `never` and an empty text.

    Raises ApiError 422 for any other text, for a time in the past and for a time more than ten years ahead.
    """
    text = text.strip()
    if text in ("", NEVER):
        return None
    now = database_now()
    if lifetime := _LIFETIME.fullmatch(text):
        span = timedelta(**{_UNITS[lifetime[2]]: int(lifetime[1])})
        at: datetime | None = now + min(span, 2 * MAX_LIFETIME)  # `check_expiry` refuses a lifetime that is too long
    else:
        at = _parse_time(text)
    if at is None:
        raise _make_error(f"{text[:40]!r} is neither a lifetime nor a time. {_FORMAT_HINT}")
    check_expiry(at)
    return at


def check_expiry(at: datetime | None) -> None:
    """Raises ApiError 422 for a time in the past or more than ten years ahead."""
    now = database_now()
    if at is not None and at <= now:
        raise _make_error(f"{at:%Y-%m-%d %H:%M} UTC is in the past. Choose a time in the future.")
    if at is not None and at > now + MAX_LIFETIME:
        raise _make_error("At most ten years ahead. Choose an earlier time, or never.")


def _parse_time(text: str) -> datetime | None:
    try:
        at = parse_datetime(text) or datetime.combine(datetime.strptime(text, "%Y-%m-%d"), datetime.min.time())
    except ValueError:
        return None
    try:
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return None


def _make_error(text: str) -> ApiError:
    return ApiError(422, "invalid", f"expires_at: {text}", {"expires_at": [text]})
