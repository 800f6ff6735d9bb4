"""The waiting sandboxes of a host, as its worker reports them in `Host.warm`. Reads them for pages and the API.

A worker of another version may report another form: that is unknown, never an error.
"""

from typing import Annotated, Any, Literal

from django.conf import settings
from pydantic import BaseModel, Field, ValidationError

from cronium_admin.runs.presentation.starts import name_cold_reason

Count = Annotated[int, Field(ge=0)]


class WarmShapeOut(BaseModel):
    """One kind of waiting sandbox. A stem is a network and a sidecar; it has no language, image and limits."""

    kind: Literal["whole", "stem"] = Field(
        description="whole: a complete sandbox; stem: a network and a sidecar, for any language, image and limits."
    )
    language: str = ""
    image: str = ""
    cpu: float = Field(default=0, allow_inf_nan=False)
    memory_mb: Count = 0
    pids: Count = 0
    log_limit_mb: Count = Field(default=0, description="0: not reported.")
    network: str
    runtime: str = Field(default="", description="Empty: the engine's default.")
    read_only_root: bool = True
    waiting: Count = Field(description="Ready now.")
    building: Count = Field(default=0, description="Being prepared.")
    target: Count = Field(description="As many the host keeps ready within its limit.")
    wanted: Count | None = Field(default=None, description="As many it would keep without the limit; null: unknown.")
    per_minute: float = Field(
        default=0, ge=0, allow_inf_nan=False, description="Launches per minute, a recent average."
    )
    hits: Count | None = Field(default=None, description="Runs that used one, since the worker started; null: unknown.")
    misses: Count | None = Field(
        default=None, description="Runs that found none, since the worker started; null: unknown."
    )
    failures: Count = Field(default=0, description="Failed attempts to prepare one, since the last success.")
    error: str = Field(default="", description="Why the last attempt failed; empty after a success.")

    @property
    def is_stem(self) -> bool:
        return self.kind == "stem"

    @property
    def wanted_count(self) -> int:
        return self.target if self.wanted is None else self.wanted

    @property
    def rate(self) -> str:
        return "< 0.1" if 0 < self.per_minute < 0.1 else f"{self.per_minute:.1f}" if self.per_minute else "0"


class WarmPoolOut(BaseModel):
    limit: Count = Field(description="As many the host may keep ready; 0: waiting sandboxes are off.")
    paused: str = Field(default="", description="Why the host keeps none now; empty: it does.")
    delayed: str = Field(default="", description="Why it does not prepare the missing ones now; empty: it does.")
    waiting: Count = Field(default=0, description="Ready now.")
    building: Count = Field(default=0, description="Being prepared.")
    memory_bytes: Count = Field(default=0, description="About the memory that the waiting sandboxes use.")
    hits: dict[str, Count] = Field(
        default={}, description="Runs by how they started, since the worker started: warm (in a whole one), stem."
    )
    misses: dict[str, Count] = Field(
        default={}, description="Runs that started in a new sandbox, by `cold_reason`, since the worker started."
    )
    shapes: list[WarmShapeOut] = []

    @property
    def hit_count(self) -> int:
        return sum(self.hits.values())

    @property
    def start_count(self) -> int:
        return self.hit_count + sum(self.misses.values())

    @property
    def wanted_count(self) -> int:
        return sum(shape.wanted_count for shape in self.shapes)

    @property
    def has_counts(self) -> bool:
        return any(shape.hits is not None for shape in self.shapes)

    @property
    def is_failing(self) -> bool:
        return any(shape.error for shape in self.shapes)

    @property
    def sorted_misses(self) -> list[tuple[str, int]]:
        """Words and number of each reason, the most frequent first."""
        ordered = sorted(self.misses.items(), key=lambda item: (-item[1], item[0]))
        return [(name_cold_reason(code), number) for code, number in ordered if number]

    @property
    def sorted_shapes(self) -> list[WarmShapeOut]:
        """In an order that does not change with the numbers, so that rows stay in place while one reads."""
        return sorted(self.shapes, key=lambda shape: (not shape.is_stem, shape.model_dump_json(include=_NAMES)))


_NAMES = {"language", "image", "cpu", "memory_mb", "pids", "log_limit_mb", "network", "runtime", "read_only_root"}
_OFF_HERE = "CRONIUM_WARM is 0 in the process that launches runs, so no run takes one. Set it for every process alike."


def parse_pool(reported: Any) -> WarmPoolOut | None:
    """None: unknown, because the worker is of another version or has not reported yet."""
    is_off = settings.CONFIG.warm_limit == 0
    try:
        pool = WarmPoolOut.model_validate(reported)
    except ValidationError:
        return WarmPoolOut(limit=0) if is_off else None
    return pool.model_copy(update={"paused": _OFF_HERE}) if is_off and pool.limit else pool
