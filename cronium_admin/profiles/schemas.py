"""Request and response bodies of the profile routes, and the types of single limits."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, WithJsonSchema

from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP, OMITTED
from cronium_admin.profiles.limits import Limits
from cronium_admin.profiles.models import Profile


def _parse_cpu(value: Any) -> Decimal:
    # A JSON number as the decimal that was written, so that 0.1 is exactly 0.1
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("Must be a number such as 0.5")
    number = Decimal(str(value)) if abs(value) < 10**6 else Decimal(10**6)
    if not number.is_finite() or number != round(number, 2):
        raise ValueError("Must be a number with at most two decimal places, such as 0.25")
    return number


Cpu = Annotated[Decimal, BeforeValidator(_parse_cpu), WithJsonSchema({"type": "number", "examples": [0.5]})]
RUNTIME = "The container runtime, such as runc or runsc; empty: the engine's default."
LOG_LIMIT = (
    "MB of log that a run may write; null: the default, which is CRONIUM_LOG_LIMIT_MB, or 50 if that is not set."
)


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
    log_limit_mb: int = Field(description="MB of log that a run may write: the profile's value, or the default.")
    runtime: str = Field(description=RUNTIME)
    version: int = Field(description="Incremented by every change.")
    jobs: int = Field(description="The number of jobs that use it.")

    @classmethod
    def from_profile(cls, profile: Profile, jobs: int) -> "ProfileOut":
        limits = LimitsOut.from_limits(profile.limits)
        fields: dict[str, Any] = {"name": profile.name, "runtime": profile.runtime, "version": profile.version}
        return cls(**limits.model_dump(), **fields, jobs=jobs)


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
