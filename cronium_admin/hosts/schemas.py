"""Hosts as the API says them."""

from datetime import datetime

from pydantic import BaseModel, Field

from cronium_admin.hosts.service import HostView


class ProbeOut(BaseModel):
    name: str
    held: bool | None = Field(description="null: it could not be tried.")
    found: str
    mend: str


class HostOut(BaseModel):
    name: str
    alive: bool = Field(description="It has reported within half a minute.")
    takes_runs: bool
    capacity: int
    running: int
    engine_version: str
    engine_error: str
    runtimes: list[str] = Field(description="What its engine can run containers with.")
    heartbeat_at: datetime | None
    unsafe: bool = Field(description="A probe of the last isolation check got through.")
    canary: list[ProbeOut]
    canary_at: datetime | None = Field(description="null: its isolation was never checked.")

    @classmethod
    def of(cls, host: HostView) -> "HostOut":
        same = [
            *("name", "capacity", "running", "engine_version", "engine_error", "runtimes", "heartbeat_at"),
            *("unsafe", "canary_at"),
        ]
        canary = [ProbeOut(**probe) for probe in host.probes]
        facts = {name: getattr(host.row, name) for name in same}
        return cls(**facts, alive=host.alive, takes_runs=host.takes_runs, canary=canary)


class HostList(BaseModel):
    items: list[HostOut]
