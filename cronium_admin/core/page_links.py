"""Addresses of pages, for rows of lists: `reverse` would take a large part of a page's time."""

from functools import lru_cache
from uuid import UUID

from django.urls import reverse

_PLACEHOLDER = "00000000-0000-0000-0000-000000000000"  # of a slug and of the id of a run


def build_link(name: str, key: str | UUID) -> str:
    """The address of the route `name`, whose only argument is `key`: a slug or a UUID."""
    before, after = _split_route(name)
    return f"{before}{key}{after}"


@lru_cache(maxsize=256)
def _split_route(name: str) -> tuple[str, str]:
    before, _, after = reverse(name, args=[_PLACEHOLDER]).partition(_PLACEHOLDER)
    return before, after
