"""Opaque cursors for lists: the sort key of the last row seen, so that inserts shift nothing."""

import base64
import binascii
import json

from cronium_admin.errors import Refused


def cursor(*key: str | int) -> str:
    """The sort key of a row as an opaque word."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def read_cursor(word: str, *kinds: type[str] | type[int]) -> list[str | int]:
    """The key in `word`, whose parts must be of `kinds`; Refused (422) when `cursor` didn't make it."""
    try:
        key = json.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    fits = isinstance(key, list) and len(key) == len(kinds)
    if not fits or any(type(part) is not kind for part, kind in zip(key, kinds, strict=True)):
        raise bad_cursor()
    return list(key)


def bad_cursor() -> Refused:
    message = "Not a cursor of this list. Give the `next` of the page before, or leave it out."
    return Refused(422, "invalid", f"after: {message}", {"after": [message]})
