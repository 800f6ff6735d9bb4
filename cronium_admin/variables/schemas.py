"""Request and response bodies of the variable routes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from cronium_admin.variables.models import Change, Variable
from cronium_admin.variables.service import SHARED


class VariableOut(BaseModel):
    scope: str = Field(description="The slug of its job, or shared.")
    name: str
    value: Any
    version: int = Field(description="Incremented by every change.")
    changed_at: datetime
    changed_by: str = Field(description="A user's name, or the job and number of the run.")
    changed_run: UUID | None

    @classmethod
    def from_variable(cls, row: Variable) -> "VariableOut":
        return cls(
            scope=row.job.slug if row.job else SHARED,
            name=row.name,
            value=row.value,
            version=row.version,
            changed_at=row.changed_at,
            changed_by=row.changed_by,
            changed_run=row.changed_run_id,
        )


class VariablePage(BaseModel):
    items: list[VariableOut]
    next: str | None = Field(description="The value of `after` for the next page; null on the last page.")


class VariableIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    value: Any = Field(description="Any JSON value of up to 256 KiB.")
    version: StrictInt | None = Field(
        None, description="Change the variable only if this is still its version; 0: only if it has no value."
    )


class ChangeOut(BaseModel):
    version: int
    kind: str
    value_text: str = Field(description="The new value's JSON, truncated after 2,000 characters; empty for a deletion.")
    is_cut: bool
    at: datetime
    by: str
    run: UUID | None

    @classmethod
    def from_change(cls, row: Change) -> "ChangeOut":
        return cls(
            version=row.version,
            kind=row.kind,
            value_text=row.text,
            is_cut=row.is_cut,
            at=row.at,
            by=row.by,
            run=row.run_id,
        )


class ChangeList(BaseModel):
    items: list[ChangeOut]
    next: None = None
