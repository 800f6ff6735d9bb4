"""Optimistic locking of rows that people edit: an edit states the version that it is based on, so that it overwrites
no newer version.

A job counts its edits in `revision`, all other rows count them in `version`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from pydantic import Field

from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ApiError

DELETE_VERSION_HELP = "Deletes only if this is the current version; otherwise 409 `changed_meanwhile`."
CHANGE_VERSION_HELP = "Changes only if this is the current version; otherwise 409 `changed_meanwhile`."
# The default of a field of a PATCH. Only the fields in the request are read, so the default is never used.
OMITTED: Any = Field(default_factory=lambda: None)


class Edited(models.Model):
    """The last edit by a user. `version` counts the edits that changed a value."""

    version = models.PositiveIntegerField(default=1)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    updated_at = models.DateTimeField(default=database_now)

    class Meta:
        abstract = True


class EditConflict(ApiError):
    """Another user saved the row after the caller had read it; `stored` is the current row."""

    def __init__(self, stored: Any, counter: str = "version", *, is_deletion: bool = False) -> None:
        self.stored = stored
        self.theirs: list[tuple[str, str]] = []  # for a page: label and stored value of the fields that differ
        self.who = format_user_name(getattr(stored, "updated_by", None))
        number, at = getattr(stored, counter), stored.updated_at
        text = f"{self.who} saved {counter} {number} at {format_utc(at)}. "
        if is_deletion:
            text += f"Nothing was deleted. Review the change, then delete with that {counter}, or keep the row."
        else:
            text += f"Your change was not saved. Compare both versions, then save with that {counter}, or keep theirs."
        super().__init__(409, "changed_meanwhile", text, {counter: [text]})


def format_user_name(user: Any) -> str:
    return str(user.get_username()) if user else "Another user"  # deleted since then, or not recorded


def format_utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def check_version(stored: Any, version: int | None) -> None:
    """Raises EditConflict if the row has another version; an edit without a version is always allowed."""
    if version not in (None, stored.version):
        raise EditConflict(stored)


def check_deletion(stored: Any, version: int | None, counter: str = "version") -> None:
    """Raises EditConflict if the row has another `counter`. The caller has locked the row."""
    if version not in (None, getattr(stored, counter)):
        raise EditConflict(stored, counter, is_deletion=True)


def write_edit(stored: Any, changes: Mapping[str, Any], by: Any) -> None:
    """Writes the next version by a conditional update on the version of `stored`, then updates `stored`.

    A `version` in `changes` is the lower bound of the next version. Raises EditConflict.
    """
    model, read = type(stored), stored.version
    values = {
        **changes,
        "version": max(read + 1, changes.get("version", 0)),
        "updated_by": by,
        "updated_at": database_now(),
    }
    if not model._default_manager.filter(pk=stored.pk, version=read).update(**values):
        current = model._default_manager.filter(pk=stored.pk).first()
        if current is None:
            raise ApiError(404, "not_found", f"{stored} was deleted in the meantime.")
        raise EditConflict(current)
    for name, value in values.items():
        setattr(stored, name, value)


def parse_version(text: str) -> int | None:
    """The version that a form sent; -1, which no row has, for text that is not a number."""
    if not text:
        return None
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else -1
