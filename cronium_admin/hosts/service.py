"""What people are told of the hosts: who lives, who takes runs, what is promised. Changes only who is drained."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from cronium_admin.errors import Refused
from cronium_admin.hosts import findings
from cronium_admin.hosts.admission import Promise, reserved
from cronium_admin.hosts.models import Host
from cronium_admin.jobs.rules import DEFAULT_QUEUE
from executor.canary import mend

ALIVE = timedelta(seconds=30)


@dataclass(frozen=True)
class HostView:
    """A host as a page and the API show it."""

    row: Host
    alive: bool
    takes_runs: bool
    probes: list[dict[str, Any]]  # name, held, found and, where it did not hold, mend
    reserved: Promise  # what its runs were promised

    @property
    def queues(self) -> tuple[str, ...]:
        return queues_of(self.row)

    @property
    def through(self) -> list[str]:
        """The names of the probes that got through."""
        return [probe["name"] for probe in self.probes if probe["held"] is False]

    @property
    def health(self) -> findings.State:
        """The worst that doctor found; of no weight for `takes_runs`."""
        return findings.worst(row["state"] for row in self.row.findings)

    @property
    def health_words(self) -> str:
        return findings.words(row["state"] for row in self.row.findings)

    @property
    def reaped(self) -> list[dict[str, Any]]:
        """What its reaper removed last: kind, name, run_id (empty: of no run), at."""
        return [{**one, "at": datetime.fromisoformat(one["at"])} for one in self.row.reaped]


def all_hosts() -> list[HostView]:
    taken = reserved()
    return [_view(row, taken.get(row.name, Promise())) for row in Host.objects.order_by("name")]


def queues_of(row: Host) -> tuple[str, ...]:
    """The queues it serves; a worker that has not said so serves the default one."""
    return tuple(row.queues) or (DEFAULT_QUEUE,)


def drain(name: str, on: bool) -> HostView:
    """Let a host take nothing new, or take runs again. Refused where there is no such host."""
    if not Host.objects.filter(name=name).update(draining=on):
        raise Refused(404, "not_found", f"There is no host {name[:100]!r}.")
    return next(host for host in all_hosts() if host.row.name == name)


def _view(row: Host, promised: Promise) -> HostView:
    alive = row.heartbeat_at is not None and row.heartbeat_at > timezone.now() - ALIVE
    takes_runs = (
        alive and not row.draining and not row.engine_error and (not row.unsafe or settings.CONFIG.allow_unsafe_host)
    )
    probes = [{**one, "mend": mend(one["name"]) if one["held"] is False else ""} for one in row.canary or []]
    return HostView(row, alive, takes_runs, probes, promised)
