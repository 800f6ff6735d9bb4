"""Cuts runs, newest first, into pages by a cursor, so that page 1,000 costs what page 1 does."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from cronium_admin.errors import Refused
from cronium_admin.pages import cursor, read_cursor


@dataclass(frozen=True)
class Page:
    """Up to one page of rows; `next` is the cursor of the page after it, empty at the end."""

    items: list[Any]
    next: str
    is_first: bool


def _position(word: str) -> tuple[datetime, UUID] | None:
    """Where `word` points; None for what is no cursor: a page then shows the beginning instead of an error."""
    try:
        at, key = read_cursor(word, str, str)
        moment = datetime.fromisoformat(str(at))
        return (moment, UUID(str(key))) if moment.tzinfo and 2000 < moment.year < 9999 else None
    except (Refused, ValueError):
        return None


def newest_first(rows: "QuerySet[Any]", after: str, size: int) -> Page:
    """The page of `rows` after a cursor, by (created_at, id) downwards."""
    position = _position(after) if after else None
    if position:
        at, key = position
        rows = rows.filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=key))
    items = list(rows.order_by("-created_at", "-id")[: size + 1])
    more = len(items) > size
    items = items[:size]
    last = cursor(items[-1].created_at.isoformat(), str(items[-1].pk)) if more else ""
    return Page(items, last, position is None)
