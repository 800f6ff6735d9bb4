"""Rows that others share, found by the digest of their content."""

from typing import Any


def get_or_create_locked(model: Any, digest: str, **content: Any) -> Any:
    """Call it in a transaction: the row stays locked until its commit, so that it is not deleted as unused."""
    rows = model.objects.select_for_update(no_key=True).filter(digest=digest)
    while (row := rows.first()) is None:
        model.objects.bulk_create([model(digest=digest, **content)], ignore_conflicts=True)
    return row
