"""What people are told of the hosts: who lives, who takes runs, what is promised. Drains and deletes."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, Q

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.core.edit_versions import check_deletion, check_version, write_edit
from cronium_admin.core.errors import ApiError
from cronium_admin.core.line_text import make_sort_key
from cronium_admin.images import inventory
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.runs.models import ON_HOST, Run
from cronium_admin.workers.health import results
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.scheduling.capacity import Resources, sum_reserved
from executor.checks.isolation import find_remedy

log = logging.getLogger("cronium.host")
ALIVE_WITHIN = timedelta(seconds=30)


@dataclass(frozen=True)
class HostView:
    """A host as a page and the API show it."""

    row: Host
    alive: bool
    takes_runs: bool
    probes: list[dict[str, Any]]  # name, held, found and, where it did not hold, mend
    reserved: Resources  # what its runs were promised

    @property
    def queues(self) -> tuple[str, ...]:
        return get_queues(self.row)

    @property
    def tried(self) -> int:
        """How many probes of the last isolation test could be tried."""
        return sum(probe["held"] is not None for probe in self.probes)

    @property
    def blocked(self) -> int:
        return sum(probe["held"] is True for probe in self.probes)

    @property
    def through(self) -> list[str]:
        """The names of the probes that got through."""
        return [probe["name"] for probe in self.probes if probe["held"] is False]

    @property
    def health(self) -> results.State:
        """The worst that doctor found; of no weight for `takes_runs`."""
        return results.find_worst_state(row["state"] for row in self.row.findings)

    @property
    def health_words(self) -> str:
        return results.summarize_states(row["state"] for row in self.row.findings)

    @property
    def reaped(self) -> list[dict[str, Any]]:
        """What its reaper removed last: kind, name, run_id (empty: of no run), at."""
        return [{**one, "at": datetime.fromisoformat(one["at"])} for one in self.row.reaped]


def fetch_hosts() -> list[HostView]:
    taken = sum_reserved()
    return [
        _build_view(row, taken.get(row.name, Resources()))
        for row in sorted(Host.objects.all(), key=lambda host: (make_sort_key(host.name), host.name))
    ]


def count_jobs_by_queue() -> dict[str, int]:
    """How many enabled jobs name each queue."""
    rows = Job.objects.filter(enabled=True).order_by().values_list("queue").annotate(number=Count("pk"))
    return dict(rows)


def find_sole_queues(host: HostView, hosts: list[HostView]) -> list[str]:
    """The queues of `host` that no other of `hosts` takes runs of."""
    others = {queue for other in hosts if other.takes_runs and other.row.pk != host.row.pk for queue in other.queues}
    return [queue for queue in host.queues if queue not in others]


def get_queues(row: Host) -> tuple[str, ...]:
    """The queues it serves; a worker that has not said so serves the default one."""
    return tuple(row.queues) or (DEFAULT_QUEUE,)


def set_draining(name: str, on: bool, by: User | None, version: int | None = None) -> HostView:
    """Let a host take nothing new, or take runs again. Refused (404) where there is no such host.

    With `version`, only while that is the host's: else ChangedMeanwhile.
    """
    with transaction.atomic():
        rows = Host.objects.select_for_update(of=("self",)).select_related("updated_by")
        stored = rows.filter(name=name).first()
        if stored is None:
            raise make_not_found_error(name)
        check_version(stored, version)
        if stored.draining != on:
            write_edit(stored, {"draining": on}, by)
    found = next((host for host in fetch_hosts() if host.row.name == name), None)
    if found is None:
        raise make_not_found_error(name)
    return found


def make_not_found_error(name: str) -> ApiError:
    return ApiError(404, "not_found", f"There is no host {name[:100]!r}.")


def delete_host(name: str, by: str, version: int | None = None) -> None:
    """Forget a host that is away. Refused (404) where there is none, (409) while it lives or has live runs.

    `version` as in `drain`.
    """
    same = Q() if version is None else Q(version=version)
    gone = Host.objects.filter(
        Q(heartbeat_at=None) | Q(heartbeat_at__lt=Now() - ALIVE_WITHIN),
        Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now()),
        ~Exists(Run.objects.filter(status__in=ON_HOST, host=name)),
        same,
        name=name,
    )
    if gone.delete()[0]:
        inventory.delete_inventory(name)
        log.info("%s deleted the host %s", by, name)
        return
    stored = Host.objects.select_related("updated_by").filter(name=name).first()
    if stored is None:
        raise make_not_found_error(name)
    check_deletion(stored, version)
    if number := Run.objects.filter(status__in=ON_HOST, host=name).count():
        text = f"Host {name} has {number} live run{'s' if number > 1 else ''}. They end within CRONIUM_LOST_AFTER."
        raise ApiError(409, "host_has_live_runs", f"{text} Cancel or await them, then delete it.")
    text = f"Host {name} was heard from a moment ago. Stop its worker, wait half a minute, then delete it."
    raise ApiError(409, "host_is_alive", text)


def _build_view(row: Host, promised: Resources) -> HostView:
    alive = row.heartbeat_at is not None and row.heartbeat_at > database_now() - ALIVE_WITHIN
    takes_runs = (
        alive and not row.draining and not row.engine_error and (not row.unsafe or settings.CONFIG.allow_unsafe_host)
    )
    probes = [{**one, "mend": find_remedy(one["name"]) if one["held"] is False else ""} for one in row.canary or []]
    return HostView(row, alive, takes_runs, probes, promised)
