"""Hosts for pages and the API: which are alive, which take runs, which resources are reserved. Drains and deletes."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, Q, QuerySet
from django.template.defaultfilters import pluralize

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.core.edit_versions import check_deletion, check_version, write_edit
from cronium_admin.core.errors import ApiError
from cronium_admin.core.lease import is_held
from cronium_admin.core.line_text import make_sort_key
from cronium_admin.images import disk, inventory, pulls
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.runs.models import ON_HOST, Run
from cronium_admin.workers.health import results
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.hosts.warm_pool import WarmPoolOut, parse_pool
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
    reserved: Resources  # reserved by its active runs
    warm: WarmPoolOut | None  # its waiting sandboxes; None: unknown, or it is away, and they ended with its worker

    @property
    def queues(self) -> tuple[str, ...]:
        return get_queues(self.row)

    @property
    def tried(self) -> int:
        return sum(probe["held"] is not None for probe in self.probes)

    @property
    def blocked(self) -> int:
        return sum(probe["held"] is True for probe in self.probes)

    @property
    def through(self) -> list[str]:
        return [probe["name"] for probe in self.probes if probe["held"] is False]

    @property
    def health(self) -> results.State:
        """The worst state of doctor's results. It has no effect on `takes_runs`."""
        return results.find_worst_state(row["state"] for row in self.row.findings)

    @property
    def health_words(self) -> str:
        return results.summarize_states(row["state"] for row in self.row.findings)

    @property
    def reaped(self) -> list[dict[str, Any]]:
        return [{**item, "at": datetime.fromisoformat(item["at"])} for item in self.row.reaped]


def fetch_hosts() -> list[HostView]:
    by_host = sum_reserved()
    return [
        _build_view(row, by_host.get(row.name, Resources()))
        for row in sorted(Host.objects.all(), key=lambda host: (make_sort_key(host.name), host.name))
    ]


def fetch_pools(ids: Collection[int]) -> list[tuple[int, WarmPoolOut | None]]:
    """The waiting sandboxes of these hosts, by the id of the host; for pages that ask again and again."""
    rows = Host.objects.filter(pk__in=ids).only("pk", "warm", "heartbeat_at").order_by("pk")
    return [(row.pk, parse_pool(row.warm) if is_alive(row) else None) for row in rows]


def count_jobs_by_queue(user: User) -> dict[str, int]:
    rows = (
        Job.objects.visible_to(user).filter(enabled=True).order_by().values_list("queue").annotate(number=Count("pk"))
    )
    return dict(rows)


def find_sole_queues(host: HostView, hosts: list[HostView]) -> list[str]:
    others = {queue for other in hosts if other.takes_runs and other.row.pk != host.row.pk for queue in other.queues}
    return [queue for queue in host.queues if queue not in others]


def get_queues(row: Host) -> tuple[str, ...]:
    return tuple(row.queues) or (DEFAULT_QUEUE,)


def set_draining(name: str, is_draining: bool, by: User, version: int | None = None) -> HostView:
    """Raises ApiError (404) if the host does not exist, and ChangedMeanwhile if `version` is given and outdated."""
    with transaction.atomic():
        rows = Host.objects.select_for_update(of=("self",)).select_related("updated_by")
        stored = rows.filter(name=name).first()
        if stored is None:
            raise make_not_found_error(name)
        check_version(stored, version)
        if stored.draining != is_draining:
            write_edit(stored, {"draining": is_draining}, by)
    view = next((host for host in fetch_hosts() if host.row.name == name), None)
    if view is None:
        raise make_not_found_error(name)
    return view


def select_hosts() -> QuerySet[Host]:
    return Host.objects.all()


def make_not_found_error(name: str) -> ApiError:
    return ApiError(404, "not_found", f"There is no host {name[:100]!r}.")


def delete_host(name: str, by: User, version: int | None = None) -> None:
    """Delete a host that is away. Raises ApiError: 404 if it does not exist, 409 while it is alive or has active runs.

    `version` as in `set_draining`.
    """
    has_version = Q() if version is None else Q(version=version)
    deletable = Host.objects.filter(
        Q(heartbeat_at=None) | Q(heartbeat_at__lt=Now() - ALIVE_WITHIN),
        ~is_held(),
        ~Exists(Run.objects.filter(status__in=ON_HOST, host=name)),
        has_version,
        name=name,
    )
    if deletable.delete()[0]:
        inventory.delete_inventory(name)
        pulls.delete_pulls(name)
        disk.delete_disk(name)
        log.info("%s deleted the host %s", by.get_username(), name)
        return
    stored = Host.objects.select_related("updated_by").filter(name=name).first()
    if stored is None:
        raise make_not_found_error(name)
    check_deletion(stored, version)
    if number := Run.objects.filter(status__in=ON_HOST, host=name).count():
        text = f"Host {name} has {number} active run{pluralize(number)}. They end within CRONIUM_LOST_AFTER."
        raise ApiError(409, "host_has_live_runs", f"{text} Cancel them or wait, then delete the host.")
    text = f"Host {name} sent a heartbeat in the last 30 seconds. Stop its worker, wait half a minute, then delete it."
    raise ApiError(409, "host_is_alive", text)


def is_alive(row: Host) -> bool:
    return row.heartbeat_at is not None and row.heartbeat_at > database_now() - ALIVE_WITHIN


def _build_view(row: Host, reserved: Resources) -> HostView:
    alive = is_alive(row)
    takes_runs = (
        alive and not row.draining and not row.engine_error and (not row.unsafe or settings.CONFIG.allow_unsafe_host)
    )
    probes = [
        {**probe, "mend": find_remedy(probe["name"]) if probe["held"] is False else ""} for probe in row.canary or []
    ]
    return HostView(row, alive, takes_runs, probes, reserved, parse_pool(row.warm) if alive else None)
