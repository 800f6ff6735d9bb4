"""Which process acts for a host: the one whose name is on the host's row, until its lease is over."""

from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now

from cronium_admin.hosts.models import Host

LEASE = timedelta(seconds=20)


def acquire(host: str, owner: str, take_from: str = "") -> bool:
    """Become, or stay, the one that acts for `host`; False while another is.

    `take_from` is the beginning of owners that are known to be dead: their lease counts for nothing.
    """
    Host.objects.get_or_create(name=host)
    free = Q(owner="") | Q(owner=owner) | Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now())
    if take_from:
        free |= Q(owner__startswith=take_from)
    return bool(Host.objects.filter(free, name=host).update(owner=owner, lease_expires_at=Now() + LEASE))


def renew(host: str, owner: str, facts: dict[str, Any]) -> bool:
    """Stay it, and tell what there is to tell of the host; False when another has taken it since."""
    mine = Host.objects.filter(name=host, owner=owner)
    return bool(mine.update(lease_expires_at=Now() + LEASE, heartbeat_at=Now(), **facts))


def give_up(host: str, owner: str) -> None:
    """Let the next process begin at once."""
    Host.objects.filter(name=host, owner=owner).update(owner="", lease_expires_at=None)
