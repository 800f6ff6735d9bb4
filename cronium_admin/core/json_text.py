"""Formats JSON: compact text for storage, and indented text of bounded length for display."""

import json
from typing import Any

from django.db import models
from django.db.models.functions import Cast

_INDENTED = json.JSONEncoder(ensure_ascii=False, indent=2)


def format_indented(value: Any, limit: int) -> tuple[str, bool]:
    """The indented JSON, and whether it was cut after `limit` characters."""
    parts, length = [], 0
    for part in _INDENTED.iterencode(value):
        parts.append(part)
        length += len(part)
        if length > limit:
            return "".join(parts)[:limit], True
    return "".join(parts), False


def format_compact(value: Any) -> str:
    """JSON without blanks: the form that is stored, counted and downloaded."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def format_exact(value: Any, *, sort_keys: bool = False) -> str:
    """As `format_compact`, and every database can store it: text with a lone surrogate is written in ASCII.

    Equal for equal values, if `sort_keys`; else also the order of keys counts.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), sort_keys=sort_keys)
    return text


def parse_stored(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class JsonText(str):
    """Serialized JSON, which a JsonTextField stores unchanged."""

    __slots__ = ()


class JsonTextField(models.JSONField):
    """A JSON value in a text column, so that every database returns the same keys, order and numbers.

    PostgreSQL's jsonb sorts keys and writes 1e22 as an integer. The column has no lookups by key.
    """

    def get_internal_type(self) -> str:
        return "TextField"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else parse_stored(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return str(value) if isinstance(value, JsonText) else format_compact(value)


def cast_to_text(name: str) -> Cast:
    """The unparsed text of the JsonTextField `name`, for `annotate` and `values_list`."""
    return Cast(name, models.TextField())
