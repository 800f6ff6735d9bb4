"""Request and response bodies of the routes of revisions."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from cronium_admin.jobs.models import JobRevision
from cronium_admin.jobs.revision_changes import Change, diff_scripts, list_changes

_HIDDEN = "Values of `env` are null for callers without the permission to edit jobs."


class RevisionItem(BaseModel):
    """A revision in a list: without its settings."""

    number: int
    at: datetime
    by: str | None = Field(description="The user who saved it, by the name at that time; null: not recorded.")
    digest: str | None = Field(
        description="SHA-256 of the canonical JSON of all settings: equal settings have the same digest. null for "
        "callers without the permission to edit jobs, who could guess values of `env` with it."
    )
    changed: list[str] | None = Field(
        description="The settings that this save changed; empty for the first revision, null: not recorded."
    )
    restored_from: int | None = Field(description="The number of the revision that this save restored.")
    is_partial: bool = Field(
        description="Reconstructed from a run of an older version: it has only the settings that such runs recorded."
    )

    @staticmethod
    def collect_fields(row: JobRevision, *, with_values: bool) -> dict[str, Any]:
        same = {name: getattr(row, name) for name in ("number", "at", "changed", "restored_from", "is_partial")}
        return same | {"by": row.by_name or None, "digest": row.digest if with_values else None}

    @classmethod
    def from_row(cls, row: JobRevision, *, with_values: bool) -> "RevisionItem":
        return cls(**cls.collect_fields(row, with_values=with_values))


class RevisionPage(BaseModel):
    items: list[RevisionItem]
    next: str | None = Field(description="The value of `after` for the next page; null on the last page.")


class ChangeOut(BaseModel):
    field: str
    before: Any
    after: Any


class RevisionOut(RevisionItem):
    settings: dict[str, Any] = Field(
        description=f"All settings by name, with the script, as `PATCH /jobs/{{slug}}` takes them. {_HIDDEN}"
    )
    against: int | None = Field(description="The number of the revision that it is compared with; null: with none.")
    changes: list[ChangeOut] = Field(
        description=f"The settings that differ, without the script. Of `env`, only the variables that differ. {_HIDDEN}"
    )
    script_diff: str = Field(description="The scripts' unified diff; empty if they are equal.")

    @classmethod
    def compare(cls, row: JobRevision, other: JobRevision | None, *, with_values: bool) -> "RevisionOut":
        changes, script_diff = [], ""
        if other is not None:
            changes = [_make_change_out(change, with_values=with_values) for change in list_changes(other, row)]
            script_diff = diff_scripts(other.script.text, row.script.text, str(other), str(row))
        shown = {name: _show(name, value, with_values=with_values) for name, value in row.values.items()}
        return cls(
            **cls.collect_fields(row, with_values=with_values),
            settings=shown | {"script": row.script.text},
            against=None if other is None else other.number,
            changes=changes,
            script_diff=script_diff,
        )


def _make_change_out(change: Change, *, with_values: bool) -> ChangeOut:
    before, after = (_show(change.field, value, with_values=with_values) for value in (change.before, change.after))
    return ChangeOut(field=change.field, before=before, after=after)


def _show(name: str, value: Any, *, with_values: bool) -> Any:
    return value if with_values or name != "env" else dict.fromkeys(value)


class RestoreIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    revision: Annotated[
        StrictInt | None,
        Field(description="Restore only if this is still the job's revision; else 409 `changed_meanwhile`."),
    ] = None
