"""The lease of a host, in the host's row: the process named as `owner` is the leader until the lease expires."""

from datetime import timedelta
from typing import Any

from django.db.models import Exists, Q

from cronium_admin.core.database.clock import Now
from cronium_admin.workers.hosts.models import Host

LEASE_DURATION = timedelta(seconds=20)


def acquire_lease(host: str, owner: str, place: str = "", *, is_locked: bool = False) -> bool:
    """Take or keep the lease of `host`. False while another process holds it.

    `place` is the prefix of the owners that share a lock file; `is_locked`: this process holds that lock. An owner that
    took the lease with the lock is then dead, and its lease is ignored. An owner that took it without the lock may be
    alive: another process, perhaps a frozen one, held the lock.
    """
    Host.objects.get_or_create(name=host)
    free = Q(owner="") | Q(owner=owner) | Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now())
    if is_locked:
        free |= Q(owner__startswith=place, owner_locked=True)
    columns = {"owner": owner, "owner_locked": is_locked, "lease_expires_at": Now() + LEASE_DURATION}
    return bool(Host.objects.filter(free, name=host).update(**columns))


def holds_lease(host: str, owner: str) -> Q:
    """A condition for any UPDATE: `owner` holds the lease of `host` at this moment, even if the process was frozen."""
    return Q(Exists(Host.objects.filter(name=host, owner=owner, lease_expires_at__gt=Now())))


def renew_lease(host: str, owner: str, facts: dict[str, Any]) -> bool:
    """Extend the lease and store `facts` (columns of the host's row). False if the lease was lost."""
    owned = Host.objects.filter(name=host, owner=owner)
    return bool(owned.update(lease_expires_at=Now() + LEASE_DURATION, heartbeat_at=Now(), **facts))


def release_lease(host: str, owner: str) -> None:
    Host.objects.filter(name=host, owner=owner).update(owner="", lease_expires_at=None)
