"""Writes JSON for people: indented, and no further than is asked for, so that megabytes cost no more than a page."""

import json
from typing import Any

_INDENTED = json.JSONEncoder(ensure_ascii=False, indent=2)


def pretty(value: Any, limit: int) -> tuple[str, bool]:
    """The value as indented JSON, and whether it was cut after `limit` characters."""
    parts, length = [], 0
    for part in _INDENTED.iterencode(value):
        parts.append(part)
        length += len(part)
        if length > limit:
            return "".join(parts)[:limit], True
    return "".join(parts), False


def compact(value: Any) -> str:
    """The value in as few characters as JSON allows; what is kept, counted and downloaded."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
