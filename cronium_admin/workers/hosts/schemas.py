"""API schemas of hosts."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP
from cronium_admin.workers.health.results import State
from cronium_admin.workers.hosts.service import HostView
from cronium_admin.workers.hosts.warm_pool import WarmPoolOut


class ProbeOut(BaseModel):
    name: str
    held: bool | None = Field(description="null: the probe could not run.")
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
    run_id: UUID | None = Field(description="null: of an isolation check, or of no run. The run may be deleted.")
    at: datetime


class HostOut(BaseModel):
    name: str
    alive: bool = Field(description="It sent a heartbeat in the last 30 seconds.")
    takes_runs: bool
    version: int = Field(description="Counts the changes by users.")
    draining: bool = Field(description="It finishes its current runs and accepts no new ones.")
    queues: list[str] = Field(description="The queues it serves.")
    capacity: int
    running: int
    cpus: float | None = Field(description="CPUs of its engine.")
    memory_bytes: int | None = Field(description="Memory that runs can reserve.")
    reserved_cpu: float = Field(description="CPUs reserved by its active runs; can be more than `cpus`.")
    reserved_memory_bytes: int = Field(description="Reserved by its active runs and their sidecars.")
    load: float | None = Field(description="One-minute load average of the worker's machine.")
    memory_used_bytes: int | None = Field(description="In use on the worker's machine.")
    engine_version: str
    engine_error: str
    runtimes: list[str] = Field(description="Container runtimes of its engine.")
    heartbeat_at: datetime | None
    unsafe: bool = Field(description="A probe of the last isolation check escaped.")
    canary: list[ProbeOut]
    canary_at: datetime | None = Field(description="null: the isolation was never checked.")
    findings: list[FindingOut] = Field(description="The last results of doctor, without isolation. They block no runs.")
    examined_at: datetime | None = Field(description="null: doctor has never run there.")
    reaped: list[ReapedOut] = Field(description="The last leftover objects removed from its engine, newest first.")
    warm: WarmPoolOut | None = Field(description="Its waiting sandboxes; null: unknown, as of a host that is away.")

    @classmethod
    def from_view(cls, host: HostView) -> "HostOut":
        copied = [
            *("name", "capacity", "running", "engine_version", "engine_error", "runtimes", "heartbeat_at"),
            *("unsafe", "canary_at", "draining", "cpus", "memory_bytes", "load", "memory_used_bytes"),
            *("findings", "examined_at", "version"),
        ]
        canary = [ProbeOut(**probe) for probe in host.probes]
        facts = {name: getattr(host.row, name) for name in copied}
        reserved: dict[str, Any] = {
            "reserved_cpu": float(host.reserved.cpu),
            "reserved_memory_bytes": host.reserved.memory_bytes,
        }
        computed: dict[str, Any] = {
            "alive": host.alive,
            "takes_runs": host.takes_runs,
            "queues": list(host.queues),
            "canary": canary,
            "warm": host.warm,
            "reaped": [{**item, "run_id": item["run_id"] or None} for item in host.reaped],
        }
        return cls(**facts, **reserved, **computed)


class HostIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    draining: bool = Field(description="true: finish current runs, accept no new ones; false: accept runs again.")
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class UnservedOut(BaseModel):
    queue: str
    runs: int = Field(description="The number of waiting runs.")
    since: datetime = Field(description="When the first waiting run was queued.")
    why: str


class HostList(BaseModel):
    items: list[HostOut]
    unserved: list[UnservedOut] = Field(description="Queues with waiting runs that no host takes.")


class BehindOut(BaseModel):
    id: UUID
    number: int
    job: str = Field(description="The slug of its job.")


class WaitingOut(BaseModel):
    queue: str
    runs: int = Field(default=0, description="Waiting runs of the queue, including this run; 0 with an empty why.")
    why: str = Field(default="", description="Empty: the run can start at any moment, or does not wait.")
    stuck: bool = Field(default=False, description="The run waits until the cause is fixed.")
    position: int = Field(
        default=0,
        description="Its place among the waiting runs of the queue that may start, from 1; 0: it starts later, or "
        "`why` is empty.",
    )
    behind: list[BehindOut] = Field(
        default=[], description="Active runs, one of which must end first: up to 5, the oldest first, that you see."
    )
