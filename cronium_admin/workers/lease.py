"""The lease of a host, in the host's row: the process named as `owner` is the leader until the lease expires.

A use of `core.lease` on the host's own row, so that a renewal writes the worker's report in the same UPDATE.
"""

from datetime import timedelta
from typing import Any

from django.db.models import Exists, Q

from cronium_admin.core.database.clock import Now
from cronium_admin.core.lease import acquire_rows, is_held, release_rows, renew_rows
from cronium_admin.workers.hosts.models import Host

LEASE_DURATION = timedelta(seconds=20)


def acquire_lease(host: str, owner: str, place: str = "", *, is_locked: bool = False) -> bool:
    """Take or keep the lease of `host`. False while another process holds it.

    `place` is the prefix of the owners that share a lock file; `is_locked`: this process holds that lock. An owner that
    took the lease with the lock is then dead, and its lease is ignored. An owner that took it without the lock may be
    alive: another process, perhaps a frozen one, held the lock.
    """
    Host.objects.get_or_create(name=host)
    is_dead = Q(owner__startswith=place, owner_locked=True) if is_locked else None
    return acquire_rows(Host.objects.filter(name=host), owner, LEASE_DURATION, is_dead, owner_locked=is_locked)


def holds_lease(host: str, owner: str) -> Q:
    """A condition for any UPDATE: `owner` holds the lease of `host` at this moment, even if the process was frozen."""
    return Q(Exists(Host.objects.filter(is_held(owner), name=host)))


def renew_lease(host: str, owner: str, facts: dict[str, Any]) -> bool:
    """Extend the lease and store `facts` (columns of the host's row). False if the lease was lost."""
    return renew_rows(Host.objects.filter(name=host), owner, LEASE_DURATION, heartbeat_at=Now(), **facts)


def release_lease(host: str, owner: str) -> None:
    release_rows(Host.objects.filter(name=host), owner)


def list_led_hosts() -> set[str]:
    return set(Host.objects.filter(is_held()).values_list("name", flat=True))
