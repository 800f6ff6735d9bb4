"""Request and response bodies of the secret routes. No response contains a value."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictInt, StrictStr

from cronium_admin.accounts.models import User
from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP
from cronium_admin.secrets.models import Secret
from cronium_admin.secrets.service import SavedSecret


class SecretOut(BaseModel):
    name: str = Field(description="The name of the secret and of its environment variable.")
    description: str
    jobs: list[str] = Field(description="The slugs of the jobs that use it.")
    created_at: datetime
    created_by: str | None
    updated_at: datetime
    updated_by: str | None
    last_used_at: datetime | None = Field(description="When a run last received it.")
    version: int = Field(description="Incremented by every change.")

    @classmethod
    def from_secret(cls, secret: Secret, jobs: list[str]) -> "SecretOut":
        columns = ("name", "description", "created_at", "updated_at", "last_used_at", "version")
        return cls(
            **{name: getattr(secret, name) for name in columns},
            jobs=jobs,
            created_by=_get_username(secret.created_by),
            updated_by=_get_username(secret.updated_by),
        )


def _get_username(user: User | None) -> str | None:
    return user.get_username() if user else None


class SecretSaved(SecretOut):
    masked: bool | None = Field(description="Whether logs mask the value; null if the request had no value.")
    notes: list[str] = Field(description="Warnings about the value.")

    @classmethod
    def from_saved(cls, saved: SavedSecret, jobs: list[str], *, with_value: bool) -> "SecretSaved":
        facts = SecretOut.from_secret(saved.secret, jobs).model_dump()
        return cls(**facts, masked=saved.masked if with_value else None, notes=list(saved.notes))


class SecretIn(BaseModel):
    """The value is write-only. Without a value, only the description of an existing secret changes."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    value: SecretStr | None = Field(default=None, json_schema_extra={"writeOnly": True})
    description: StrictStr | None = None
    version: Annotated[
        StrictInt | None, Field(description=f"{CHANGE_VERSION_HELP} 0: store the secret only if there is none.")
    ] = None


class SecretList(BaseModel):
    items: list[SecretOut]
    next: None = None
