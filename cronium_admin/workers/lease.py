"""Which process acts for a host: the one whose name is on the host's row, until its lease is over."""

from datetime import timedelta
from typing import Any

from django.db.models import Exists, Q

from cronium_admin.core.database.clock import Now
from cronium_admin.workers.hosts.models import Host

LEASE_DURATION = timedelta(seconds=20)


def acquire_lease(host: str, owner: str, place: str = "", *, is_locked: bool = False) -> bool:
    """Become, or stay, the one that acts for `host`; False while another is.

    `place` is the beginning of the owners that share a lock, and `locked` that we hold it now: whoever acted while it
    held the lock is dead then, and its lease counts for nothing. One that acts without it may live: the lock was with
    somebody else, frozen perhaps.
    """
    Host.objects.get_or_create(name=host)
    free = Q(owner="") | Q(owner=owner) | Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now())
    if is_locked:
        free |= Q(owner__startswith=place, owner_locked=True)
    taken = {"owner": owner, "owner_locked": is_locked, "lease_expires_at": Now() + LEASE_DURATION}
    return bool(Host.objects.filter(free, name=host).update(**taken))


def holds_lease(host: str, owner: str) -> Q:
    """A condition for any UPDATE: that `owner` acts for `host` at this moment, whatever it has slept through."""
    return Q(Exists(Host.objects.filter(name=host, owner=owner, lease_expires_at__gt=Now())))


def renew_lease(host: str, owner: str, facts: dict[str, Any]) -> bool:
    """Stay it, and tell what there is to tell of the host; False when another has taken it since."""
    mine = Host.objects.filter(name=host, owner=owner)
    return bool(mine.update(lease_expires_at=Now() + LEASE_DURATION, heartbeat_at=Now(), **facts))


def release_lease(host: str, owner: str) -> None:
    """Let the next process begin at once."""
    Host.objects.filter(name=host, owner=owner).update(owner="", lease_expires_at=None)
