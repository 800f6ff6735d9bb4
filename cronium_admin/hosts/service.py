"""What people are told of the hosts: who lives, who takes runs, and why a run waits. Changes nothing."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from cronium_admin.hosts.models import Host
from executor.canary import mend

ALIVE = timedelta(seconds=30)


@dataclass(frozen=True)
class HostView:
    """A host as a page and the API show it."""

    row: Host
    alive: bool
    takes_runs: bool
    probes: list[dict[str, Any]]  # name, held, found and, where it did not hold, mend

    @property
    def through(self) -> list[str]:
        """The names of the probes that got through."""
        return [probe["name"] for probe in self.probes if probe["held"] is False]


def all_hosts() -> list[HostView]:
    return [_view(row) for row in Host.objects.order_by("name")]


def _view(row: Host) -> HostView:
    alive = row.heartbeat_at is not None and row.heartbeat_at > timezone.now() - ALIVE
    takes_runs = alive and (not row.unsafe or settings.CONFIG.allow_unsafe_host)
    probes = [{**one, "mend": mend(one["name"]) if one["held"] is False else ""} for one in row.canary or []]
    return HostView(row, alive, takes_runs, probes)


def why_waiting() -> str:
    """Why no host takes runs now; empty when one does."""
    hosts = all_hosts()
    if any(host.takes_runs for host in hosts):
        return ""
    unsafe = [host.row.name for host in hosts if host.alive]
    if unsafe:
        names = f"host {unsafe[0]}" if len(unsafe) == 1 else f"hosts {', '.join(unsafe)}"
        return f"No host takes runs: {names} failed the isolation check."
    return "No host takes runs: none has reported for half a minute. Is a worker running?"
