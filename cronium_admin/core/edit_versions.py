"""Edits of stored rows: an edit names the version that it was made of, so that no newer one is overwritten unseen.

Here because every room has rows that people edit. A job counts its edits as `revision`, all others as `version`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models

from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ApiError

DELETE_VERSION_HELP = "Delete it only while this is its version; else 409 `changed_meanwhile`."
CHANGE_VERSION_HELP = "Change it only while this is its version; else 409 `changed_meanwhile`."


class Edited(models.Model):
    """What is known of the last edit by a person. `version` counts the edits that changed something."""

    version = models.PositiveIntegerField(default=1)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    updated_at = models.DateTimeField(default=database_now)

    class Meta:
        abstract = True


class EditConflict(ApiError):
    """Another person saved the row since the caller read it; `stored` is the row as it is now."""

    def __init__(self, stored: Any, counter: str = "version", *, is_deletion: bool = False) -> None:
        self.stored = stored
        self.theirs: list[tuple[str, str]] = []  # for a page: label and stored value of what differs
        self.who = format_user_name(getattr(stored, "updated_by", None))
        number, at = getattr(stored, counter), stored.updated_at
        text = f"{self.who} saved {counter} {number} at {format_utc(at)}. "
        if is_deletion:
            text += f"Nothing was deleted. Look at it, then delete it with that {counter}, or keep it."
        else:
            text += (
                f"Your change was not saved. Compare the two, then save over it with that {counter}, or take theirs."
            )
        super().__init__(409, "changed_meanwhile", text, {counter: [text]})


def format_user_name(user: Any) -> str:
    return str(user.get_username()) if user else "Somebody"


def format_utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def check_version(stored: Any, version: int | None) -> None:
    """ChangedMeanwhile when an edit of `version` meets another one; an edit without a version is of any."""
    if version not in (None, stored.version):
        raise EditConflict(stored)


def check_deletion(stored: Any, version: int | None, counter: str = "version") -> None:
    """The same for a row that the caller is about to delete, and has locked."""
    if version not in (None, getattr(stored, counter)):
        raise EditConflict(stored, counter, is_deletion=True)


def write_edit(stored: Any, changes: Mapping[str, Any], by: Any) -> None:
    """Write the next version over the one that `stored` was read as, and over no other; `stored` is then that one.

    A `version` among the changes is the least that the next one may be.
    """
    model, read = type(stored), stored.version
    values = {
        **changes,
        "version": max(read + 1, changes.get("version", 0)),
        "updated_by": by,
        "updated_at": database_now(),
    }
    if not model._default_manager.filter(pk=stored.pk, version=read).update(**values):
        now = model._default_manager.filter(pk=stored.pk).first()
        if now is None:
            raise ApiError(404, "not_found", f"{stored} was deleted in the meantime.")
        raise EditConflict(now)
    for name, value in values.items():
        setattr(stored, name, value)


def parse_version(text: str) -> int | None:
    """The version that a form carried; one that is no number is no version that any row has."""
    if not text:
        return None
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else -1
