"""Request and response bodies of the routes of registries and pull policies. No response contains a secret."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictBool, StrictInt, StrictStr

from cronium_admin.accounts.models import User
from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP, OMITTED
from cronium_admin.registries.checks import describe_check
from cronium_admin.registries.models import ImagePolicy, Registry

ADMIN_ONLY = "null without the role Administrator."
ADDRESS = "host[:port][/prefix], such as ghcr.io/acme. The longest address that begins an image's name decides."
POLICY = "missing, newer or never: when hosts pull an image. A job can only be stricter."
HELPER = "NAME of the program docker-credential-NAME on the hosts, instead of a user and a secret."
ALLOW_HTTP = "Sends credentials over plain HTTP, where everybody on the way can read them."


class CheckStep(BaseModel):
    step: str
    ok: bool | None = Field(description="null: the step was not made.")
    text: str = Field(
        description="Without names of users, programs and images for callers without the role Administrator."
    )


class CheckOut(BaseModel):
    state: str = Field(
        description="never; requested, until a host has stored the results; no_host, if none did within two minutes; "
        "done."
    )
    requested_at: datetime | None
    host: str = Field(description="The host that made the last check; empty without one.")
    at: datetime | None = Field(description="When it was made.")
    results: list[CheckStep]

    @classmethod
    def from_registry(cls, registry: Registry, *, for_admin: bool) -> "CheckOut":
        report = describe_check(registry, for_admin=for_admin)
        steps = [
            CheckStep(step=str(step.get("step", "")), ok=step.get("ok"), text=str(step.get("text", "")))
            for step in report.results
        ]
        return cls(state=report.state, requested_at=report.requested_at, host=report.host, at=report.at, results=steps)


class RegistryOut(BaseModel):
    id: int
    address: str
    may_pull: bool
    may_push: bool
    policy: str = Field(description=POLICY)
    is_shared: bool = Field(description="Every project may use its images; otherwise only `projects`.")
    check: CheckOut
    version: int = Field(description="Incremented by every change.")
    username: str | None = Field(description=ADMIN_ONLY)
    has_secret: bool | None = Field(description=f"The secret itself is write-only. {ADMIN_ONLY}")
    helper: str | None = Field(description=ADMIN_ONLY)
    ca: str | None = Field(description=ADMIN_ONLY)
    allow_http: bool | None = Field(description=ADMIN_ONLY)
    projects: list[str] | None = Field(description=f"Slugs. {ADMIN_ONLY}")
    check_image: str | None = Field(description=f"The image that a check resolves. {ADMIN_ONLY}")
    updated_by: str | None = Field(description=ADMIN_ONLY)
    updated_at: datetime

    @classmethod
    def from_registry(cls, registry: Registry, *, has_secret: bool, for_admin: bool) -> "RegistryOut":
        columns = ("id", "address", "may_pull", "may_push", "policy", "is_shared", "version", "updated_at")
        values: dict[str, Any] = {name: getattr(registry, name) for name in columns}
        private = ("username", "helper", "ca", "allow_http", "check_image")
        values |= {name: getattr(registry, name) if for_admin else None for name in private}
        values |= dict.fromkeys(("has_secret", "projects", "updated_by"))
        if for_admin:
            values["has_secret"] = has_secret
            values["projects"] = [project.slug for project in registry.projects.all()]
            values["updated_by"] = _get_username(registry.updated_by)
        return cls(**values, check=CheckOut.from_registry(registry, for_admin=for_admin))


class RegistryPatch(BaseModel):
    """The secret is write-only."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    address: Annotated[StrictStr, Field(description=ADDRESS)] = OMITTED
    username: StrictStr = OMITTED
    secret: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] = OMITTED
    helper: Annotated[StrictStr, Field(description=HELPER)] = OMITTED
    ca: Annotated[StrictStr, Field(description="Certificates in PEM form; empty: those of the machine.")] = OMITTED
    allow_http: Annotated[StrictBool, Field(description=ALLOW_HTTP)] = OMITTED
    may_pull: StrictBool = OMITTED
    may_push: StrictBool = OMITTED
    policy: Annotated[StrictStr, Field(description=POLICY)] = OMITTED
    is_shared: StrictBool = OMITTED
    projects: Annotated[list[StrictStr], Field(description="Slugs; they count if is_shared is false.")] = OMITTED
    check_image: StrictStr = OMITTED

    def list_changes(self) -> dict[str, Any]:
        """The fields of the request, with the secret as text."""
        changes = self.model_dump(exclude_unset=True, exclude={"version"})
        if "secret" in changes:
            changes["secret"] = self.secret.get_secret_value()
        return changes


class RegistryIn(RegistryPatch):
    address: Annotated[StrictStr, Field(description=ADDRESS)]


class RegistryChange(RegistryPatch):
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class RegistryList(BaseModel):
    items: list[RegistryOut]
    next: None = None


class PolicyOut(BaseModel):
    image: str = Field(description="The full name without tag.")
    policy: str | None = Field(description="The image's own policy; null without one.")
    effective: str = Field(description="The policy that counts: missing, newer or never.")
    rule: str = Field(
        description="The rule that decides: image, registry, or local for images that are built here. `effective` is "
        "never without a registry that hosts may pull from."
    )
    version: int = Field(description="Incremented by every change; 0 without an own policy.")
    updated_by: str | None
    updated_at: datetime | None

    @classmethod
    def build(cls, image: str, own: ImagePolicy | None, effective: str, rule: str) -> "PolicyOut":
        return cls(
            image=image,
            policy=own.policy if own else None,
            effective=effective,
            rule=rule,
            version=own.version if own else 0,
            updated_by=_get_username(own.updated_by) if own else None,
            updated_at=own.updated_at if own else None,
        )


class PolicyIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    policy: Annotated[StrictStr, Field(description=POLICY)]
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class PolicyList(BaseModel):
    items: list[PolicyOut]
    next: None = None


def _get_username(user: User | None) -> str | None:
    return user.get_username() if user else None
