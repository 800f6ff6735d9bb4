"""Request and response bodies of the routes of users and tokens."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from cronium_admin.accounts import people
from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP, OMITTED

RoleName = Literal["viewer", "operator", "editor", "admin"]
RoleOut = Literal["viewer", "operator", "editor", "admin", ""]
ROLE = "viewer, operator, editor or admin; each includes the permissions of the roles before it."


class PersonOut(BaseModel):
    username: str
    role: RoleOut = Field(description=f"{ROLE} Empty: only the roles in projects.")
    active: bool = Field(
        description="false: switched off. The user can't sign in, and sessions and tokens are refused."
    )
    must_change_password: bool = Field(
        description="Another user chose the password; the next sign-in asks for a new one."
    )
    tokens: int = Field(description="The number of valid API tokens.")
    version: int = Field(description="Incremented with every change by an administrator.")
    created_at: datetime
    seen_at: datetime | None = Field(description="The last use of the dashboard or of a token; null: never.")

    @classmethod
    def from_person(cls, person: User) -> "PersonOut":
        return cls(**_collect_person_fields(person))


class PersonCreated(PersonOut):
    password: str = Field(description="The generated password, shown only once; empty if the request set one.")

    @classmethod
    def from_person_and_password(cls, person: User, password: str) -> "PersonCreated":
        return cls(**_collect_person_fields(person), password=password)


class PersonIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    username: Annotated[StrictStr, Field(max_length=150, description="Letters, digits and @ . + - _")]
    role: Annotated[RoleName, Field(description=ROLE)] = "viewer"
    password: Annotated[
        StrictStr, Field(description="If omitted or empty, a password is generated and shown once.")
    ] = ""


class PersonPatch(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Annotated[RoleName, Field(description=ROLE)] = OMITTED
    active: Annotated[StrictBool, Field(description="false ends all sessions and refuses all tokens.")] = OMITTED
    password: Annotated[
        StrictStr, Field(min_length=1, description="Ends all sessions; must be changed at the next sign-in.")
    ] = OMITTED
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class PersonList(BaseModel):
    items: list[PersonOut]
    next: None = None


class PasswordOut(BaseModel):
    password: str = Field(description="Shown only once; must be changed at the next sign-in.")


class TokenOut(BaseModel):
    name: str
    prefix: str


class TokenItem(BaseModel):
    id: int
    username: str = Field(description="The owner; the token has this user's permissions.")
    name: str
    prefix: str = Field(description="The first characters of the token.")
    created_at: datetime
    last_used_at: datetime | None = Field(description="Accurate to the minute; null: never.")
    expires_at: datetime | None = Field(description="null: never.")
    parent: int | None = Field(
        description="The id of the token that created it; it is revoked together with that token."
    )

    @classmethod
    def from_token(cls, token: ApiToken) -> "TokenItem":
        return cls(**_collect_token_fields(token))


class TokenMade(TokenItem):
    token: str = Field(description="The token itself, shown only once.")

    @classmethod
    def from_token_and_value(cls, token: ApiToken, value: str) -> "TokenMade":
        return cls(**_collect_token_fields(token), token=value)


class TokenIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: StrictStr = Field(examples=["laptop"])
    expires_at: Annotated[
        StrictStr | None,
        Field(description="A lifetime (30d), a date, a time, or never; null means never; if omitted, 30 days."),
    ] = None


class TokenList(BaseModel):
    items: list[TokenItem]
    next: None = None


class MeOut(BaseModel):
    username: str
    role: RoleOut = Field(description="The role in the whole instance; empty: only the roles in projects.")
    scopes: list[str] = Field(
        description="The caller's permissions: see, run, edit, open_network, build_dockerfile, admin."
    )
    by: Literal["token", "session"]
    token: TokenOut | None = Field(description="null for a session.")
    expires_at: datetime | None = Field(description="When the token or session expires; null: never.")

    @classmethod
    def from_user(cls, user: User, token: ApiToken | None, expires_at: datetime | None) -> "MeOut":
        return cls(
            username=user.get_username(),
            role=user.role,  # type: ignore[arg-type]
            scopes=[permission.scope for permission in Permission if user.has_permission(permission)],
            by="token" if token else "session",
            token=TokenOut(name=token.name, prefix=token.prefix) if token else None,
            expires_at=expires_at,
        )


def _collect_token_fields(token: ApiToken) -> dict[str, Any]:
    columns = ("name", "prefix", "created_at", "last_used_at", "expires_at")
    fields = {name: getattr(token, name) for name in columns}
    return {**fields, "id": token.pk, "username": token.user.get_username(), "parent": token.parent_id}


def _collect_person_fields(person: User) -> dict[str, Any]:
    return {
        "username": person.get_username(),
        "role": person.role,
        "active": person.is_active,
        "must_change_password": person.must_change_password,
        "tokens": getattr(person, "token_count", 0),
        "version": person.version,
        "created_at": person.date_joined,
        "seen_at": people.get_last_seen(person),
    }
