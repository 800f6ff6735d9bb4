"""Pagination by an opaque cursor, the sort key of the last row of a page: inserts shift no rows between pages, and
page 1,000 costs as much as page 1."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from cronium_admin.core.errors import ApiError


def make_cursor(*key: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def parse_cursor(word: str, *kinds: type[str] | type[int]) -> list[str | int]:
    """The key in `word`, with parts of the types `kinds`; raises ApiError (422) for any other text."""
    try:
        key = json.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    is_valid = isinstance(key, list) and len(key) == len(kinds)
    if not is_valid or not all(_is_storable(part, kind) for part, kind in zip(key, kinds, strict=True)):
        raise make_cursor_error()
    return list(key)


def _is_storable(part: object, kind: type[str] | type[int]) -> bool:
    # PostgreSQL stores no NUL, no database a lone surrogate or more than 64 bits.
    if type(part) is not kind:
        return False
    if isinstance(part, str):
        return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in part)
    return isinstance(part, int) and -(2**63) <= part < 2**63


def make_cursor_error() -> ApiError:
    message = "Not a cursor of this list. Use the `next` of the previous page, or omit it."
    return ApiError(422, "invalid", f"after: {message}", {"after": [message]})


def filter_after(field: str, value: Any, key: Any, *, down: bool = False) -> Q:
    """The rows after (`value`, `key`) in the order of (`field`, primary key), ascending or descending (`down`).

    The first condition alone is a range of an index, which all planners use; an OR of two ranges is not.
    """
    past = "lt" if down else "gt"
    beside = Q(**{f"{field}__{past}": value}) | Q(**{f"pk__{past}": key})
    return Q(**{f"{field}__{past}e": value}) & beside


@dataclass(frozen=True)
class Page:
    """`next` is the cursor of the following page, empty on the last page."""

    items: list[Any]
    next: str
    is_first: bool


def _parse_position(word: str) -> tuple[datetime, UUID]:
    at, key = parse_cursor(word, str, str)
    try:
        moment, uuid = datetime.fromisoformat(str(at)), UUID(str(key))
    except ValueError as error:
        raise make_cursor_error() from error
    if moment.tzinfo is None or not 2000 < moment.year < 9999:
        raise make_cursor_error()
    return moment, uuid


def fetch_newest_page(rows: "QuerySet[Any]", after: str, size: int) -> Page:
    """The page of `rows` after a cursor, by (created_at, id) descending; raises ApiError (422) for a bad cursor."""
    if after:
        at, key = _parse_position(after)
        rows = rows.filter(filter_after("created_at", at, key, down=True))
    items = list(rows.order_by("-created_at", "-id")[: size + 1])
    has_more = len(items) > size
    items = items[:size]
    return Page(items, make_cursor(items[-1].created_at.isoformat(), str(items[-1].pk)) if has_more else "", not after)


def fetch_newest_or_first_page(rows: "QuerySet[Any]", after: str, size: int) -> Page:
    # A page of the dashboard shows its first part instead of an error for a bad cursor.
    try:
        return fetch_newest_page(rows, after, size)
    except ApiError:
        return fetch_newest_page(rows, "", size)
