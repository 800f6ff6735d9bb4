"""Request and response bodies of the routes of checks."""

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP, OMITTED
from cronium_admin.expectations.check_models import Check, Ping

RHYTHM = "`period`: a time after the last success; `cron`: by a cron rule."
GRACE = "The seconds after the expected time, and after a start, in which a ping may still come."
STATE = "`new` (no ping yet), `up`, `late` (in its grace), `down` or `paused`."


class CheckPatch(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: StrictStr = OMITTED
    rhythm: Annotated[StrictStr, Field(description=RHYTHM)] = OMITTED
    period_seconds: Annotated[StrictInt | None, Field(description="Of the rhythm `period`.")] = OMITTED
    rule: Annotated[StrictStr, Field(description="Of the rhythm `cron`.")] = OMITTED
    timezone: Annotated[StrictStr, Field(description="Such as Europe/Berlin.")] = OMITTED
    grace_seconds: Annotated[StrictInt, Field(description=GRACE)] = OMITTED
    enabled: Annotated[StrictBool, Field(description="false: paused; pings are recorded only.")] = OMITTED

    def list_changes(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True, exclude={"version"})


class CheckIn(CheckPatch):
    name: StrictStr


class CheckChange(CheckPatch):
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class CheckOut(BaseModel):
    id: int
    name: str
    state: str = Field(description=STATE)
    ping_url: str | None = Field(description="Null for callers without the permission to edit the check.")
    rhythm: str
    period_seconds: int | None
    rule: str
    timezone: str
    grace_seconds: int
    enabled: bool
    ping_count: int
    last_ping_at: AwareDatetime | None
    last_success_at: AwareDatetime | None
    started_at: AwareDatetime | None = Field(description="The last start without an end.")
    expected_at: AwareDatetime | None = Field(description="When the next success should come.")
    due_at: AwareDatetime | None = Field(description="When the check counts as down.")
    version: int
    updated_by: str | None
    updated_at: AwareDatetime
    created_at: AwareDatetime

    @classmethod
    def from_check(cls, check: Check, ping_url: str | None) -> "CheckOut":
        names = cls.model_fields.keys() - {"ping_url", "updated_by"}
        by = check.updated_by.get_username() if check.updated_by else None
        return cls(**{name: getattr(check, name) for name in names}, ping_url=ping_url, updated_by=by)


class CheckPage(BaseModel):
    items: list[CheckOut]
    next: str | None = Field(description="The value of `after` for the next page; null on the last page.")


class PingOut(BaseModel):
    number: int
    at: AwareDatetime
    kind: str = Field(description="`success`, `start`, `fail` or `log`.")
    exit_code: int | None
    run_id: str | None = Field(description="The sender's `rid`.")
    duration_ms: int | None = Field(description="From the start to this end.")
    method: str
    user_agent: str
    body: str = Field(description="The first 100,000 bytes.")
    body_bytes: int = Field(description="As sent; more than `body` has if it was cut.")

    @classmethod
    def from_ping(cls, ping: Ping) -> "PingOut":
        names = cls.model_fields.keys() - {"run_id"}
        run_id = str(ping.run_id) if ping.run_id else None
        return cls(**{name: getattr(ping, name) for name in names}, run_id=run_id)


class PingPage(BaseModel):
    items: list[PingOut]
    next: str | None = Field(description="The value of `after` for the next page; null on the last page.")
