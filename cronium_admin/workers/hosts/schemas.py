"""Hosts as the API says them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP
from cronium_admin.workers.health.results import State
from cronium_admin.workers.hosts.service import HostView


class ProbeOut(BaseModel):
    name: str
    held: bool | None = Field(description="null: it could not be tried.")
    found: str
    mend: str


class FindingOut(BaseModel):
    name: str
    state: State
    found: str
    mend: str


class ReapedOut(BaseModel):
    kind: str = Field(description="container or network")
    name: str
    run_id: UUID | None = Field(description="null: it was the isolation check's, or of no run. The run may be gone.")
    at: datetime


class HostOut(BaseModel):
    name: str
    alive: bool = Field(description="It has reported within half a minute.")
    takes_runs: bool
    version: int = Field(description="Counts the changes by people.")
    draining: bool = Field(description="It finishes its current runs and accepts no new ones.")
    queues: list[str] = Field(description="The queues it serves.")
    capacity: int
    running: int
    cpus: float | None = Field(description="CPUs of its engine.")
    memory_bytes: int | None = Field(description="What runs may reserve.")
    reserved_cpu: float = Field(description="CPUs reserved by the runs there; may be more than there are.")
    reserved_memory_bytes: int = Field(description="Reserved by the runs there, their sidecars included.")
    load: float | None = Field(description="The last minute's, of the worker's machine.")
    memory_used_bytes: int | None = Field(description="In use on the worker's machine.")
    engine_version: str
    engine_error: str
    runtimes: list[str] = Field(description="What its engine can run containers with.")
    heartbeat_at: datetime | None
    unsafe: bool = Field(description="A probe of the last isolation check got through.")
    canary: list[ProbeOut]
    canary_at: datetime | None = Field(description="null: its isolation was never checked.")
    findings: list[FindingOut] = Field(description="What doctor found last, the isolation apart. Holds back no run.")
    examined_at: datetime | None = Field(description="null: doctor was never there.")
    reaped: list[ReapedOut] = Field(description="The last left-over objects removed from its engine, newest first.")

    @classmethod
    def from_view(cls, host: HostView) -> "HostOut":
        same = [
            *("name", "capacity", "running", "engine_version", "engine_error", "runtimes", "heartbeat_at"),
            *("unsafe", "canary_at", "draining", "cpus", "memory_bytes", "load", "memory_used_bytes"),
            *("findings", "examined_at", "version"),
        ]
        canary = [ProbeOut(**probe) for probe in host.probes]
        facts = {name: getattr(host.row, name) for name in same}
        promised: dict[str, Any] = {
            "reserved_cpu": float(host.reserved.cpu),
            "reserved_memory_bytes": host.reserved.memory_bytes,
        }
        said: dict[str, Any] = {
            "alive": host.alive,
            "takes_runs": host.takes_runs,
            "queues": list(host.queues),
            "canary": canary,
            "reaped": [{**one, "run_id": one["run_id"] or None} for one in host.reaped],
        }
        return cls(**facts, **promised, **said)


class HostIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    draining: bool = Field(description="true: finish current runs, accept no new ones; false: accept runs again.")
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class UnservedOut(BaseModel):
    queue: str
    runs: int = Field(description="How many of its runs wait.")
    since: datetime = Field(description="When the first of them was queued.")
    why: str


class HostList(BaseModel):
    items: list[HostOut]
    unserved: list[UnservedOut] = Field(description="The queues whose runs wait, because no host takes them.")


class WaitingOut(BaseModel):
    queue: str
    runs: int = Field(default=0, description="How many runs of the queue wait, this one included; 0 with an empty why.")
    why: str = Field(default="", description="Empty: it may begin any moment, or waits no more.")
    stuck: bool = Field(default=False, description="It waits until somebody does something.")
