"""Profiles and single limits as the API says them."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, WithJsonSchema

from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP
from cronium_admin.profiles.limits import Limits
from cronium_admin.profiles.models import Profile


def _parse_cpu(value: Any) -> Decimal:
    """A JSON number as the decimal it was written as, so that 0.1 is 0.1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("Must be a number such as 0.5")
    number = Decimal(str(value)) if abs(value) < 10**6 else Decimal(10**6)
    if not number.is_finite() or number != round(number, 2):
        raise ValueError("Must be a number with at most two decimals, such as 0.25")
    return number


Cpu = Annotated[Decimal, BeforeValidator(_parse_cpu), WithJsonSchema({"type": "number", "examples": [0.5]})]
RUNTIME = "The engine's name for what runs the container, such as runc or runsc; empty: the engine's default."
LOG_LIMIT = "MB of log that a run may write; null takes the default: CRONIUM_LOG_LIMIT_MB, or 50 where it is not set."
# For PATCH: only what was given is looked at, so this value is never seen.
OMITTED: Any = Field(default_factory=lambda: None)


class LimitsOut(BaseModel):
    cpu: float
    memory_mb: int
    pids: int
    log_limit_mb: int

    @classmethod
    def from_limits(cls, limits: Limits) -> "LimitsOut":
        return cls(
            cpu=float(limits.cpu),
            memory_mb=limits.memory_mb,
            pids=limits.pids,
            log_limit_mb=limits.log_limit_mb,
        )


class ProfileOut(BaseModel):
    name: str
    cpu: float
    memory_mb: int
    pids: int
    log_limit_mb: int = Field(description="MB of log that a run with it may write: its own value, or the default.")
    runtime: str = Field(description=RUNTIME)
    version: int = Field(description="Counts its changes.")
    jobs: int = Field(description="How many jobs use it.")

    @classmethod
    def from_profile(cls, profile: Profile, jobs: int) -> "ProfileOut":
        limits = LimitsOut.from_limits(profile.limits)
        same: dict[str, Any] = {"name": profile.name, "runtime": profile.runtime, "version": profile.version}
        return cls(**limits.model_dump(), **same, jobs=jobs)


class ProfilePatch(BaseModel):
    model_config = ConfigDict(extra="forbid")
    cpu: Cpu = OMITTED
    memory_mb: StrictInt = OMITTED
    pids: StrictInt = OMITTED
    log_limit_mb: Annotated[StrictInt | None, Field(description=LOG_LIMIT)] = OMITTED
    runtime: Annotated[StrictStr, Field(description=RUNTIME)] = OMITTED


class ProfileChange(ProfilePatch):
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class ProfileIn(ProfilePatch):
    name: str
    cpu: Cpu
    memory_mb: StrictInt
    pids: StrictInt
    log_limit_mb: Annotated[StrictInt | None, Field(description=LOG_LIMIT)] = None
    runtime: Annotated[StrictStr, Field(description=RUNTIME)] = ""


class ProfileList(BaseModel):
    items: list[ProfileOut]
    next: None = None
