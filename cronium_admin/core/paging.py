"""Cuts lists into pages by an opaque cursor, the sort key of the last row seen: inserts shift nothing, and
page 1,000 costs what page 1 does."""

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
    """The sort key of a row as an opaque word."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def parse_cursor(word: str, *kinds: type[str] | type[int]) -> list[str | int]:
    """The key in `word`, whose parts must be of `kinds`; Refused (422) when `cursor` didn't make it."""
    try:
        key = json.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    fits = isinstance(key, list) and len(key) == len(kinds)
    if not fits or not all(_is_storable(part, kind) for part, kind in zip(key, kinds, strict=True)):
        raise make_cursor_error()
    return list(key)


def _is_storable(part: object, kind: type[str] | type[int]) -> bool:
    """Whether a row can hold it: PostgreSQL stores no NUL, no database a lone surrogate or more than 64 bits."""
    if type(part) is not kind:
        return False
    if isinstance(part, str):
        return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in part)
    return isinstance(part, int) and -(2**63) <= part < 2**63


def make_cursor_error() -> ApiError:
    message = "Not a cursor of this list. Give the `next` of the page before, or leave it out."
    return ApiError(422, "invalid", f"after: {message}", {"after": [message]})


def filter_after(field: str, value: Any, key: Any, *, down: bool = False) -> Q:
    """The rows after (`value`, `key`) in the order of (`field`, primary key), upward or downward.

    The first condition alone is a range of an index, where all planners begin to read; an OR of two ranges is not.
    """
    past = "lt" if down else "gt"
    beside = Q(**{f"{field}__{past}": value}) | Q(**{f"pk__{past}": key})
    return Q(**{f"{field}__{past}e": value}) & beside


@dataclass(frozen=True)
class Page:
    """Up to one page of rows; `next` is the cursor of the page after it, empty at the end."""

    items: list[Any]
    next: str
    is_first: bool


def _parse_position(word: str) -> tuple[datetime, UUID]:
    """The (created_at, id) that `word` points at; Refused (422) when it is no cursor of such a list."""
    at, key = parse_cursor(word, str, str)
    try:
        moment, uuid = datetime.fromisoformat(str(at)), UUID(str(key))
    except ValueError as error:
        raise make_cursor_error() from error
    if moment.tzinfo is None or not 2000 < moment.year < 9999:
        raise make_cursor_error()
    return moment, uuid


def fetch_newest_page(rows: "QuerySet[Any]", after: str, size: int) -> Page:
    """The page of `rows` after a cursor, by (created_at, id) downwards; Refused (422) for a bad cursor."""
    if after:
        at, key = _parse_position(after)
        rows = rows.filter(filter_after("created_at", at, key, down=True))
    items = list(rows.order_by("-created_at", "-id")[: size + 1])
    more = len(items) > size
    items = items[:size]
    return Page(items, make_cursor(items[-1].created_at.isoformat(), str(items[-1].pk)) if more else "", not after)


def fetch_newest_or_first_page(rows: "QuerySet[Any]", after: str, size: int) -> Page:
    """The same for people: what is no cursor shows the beginning instead of an error."""
    try:
        return fetch_newest_page(rows, after, size)
    except ApiError:
        return fetch_newest_page(rows, "", size)
