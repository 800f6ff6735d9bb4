"""Leases: one owner at a time holds a row until a time on the database's clock. The clocks of processes are not used.

An owner is a text that only one process uses, see `make_owner`. A process can lose its lease without noticing: it was
frozen, or its machine slept. So a check before a change proves nothing. A change that needs the lease has `holds_lease`
in the WHERE clause of its own UPDATE. The condition is true when the statement begins. A transaction may commit after
the lease was lost; therefore each row's change is conditional on the row's own state, too.

`acquire_rows`, `renew_rows`, `release_rows` and `is_held` work on any model with the columns of `Leased`, such as a
host. The other functions work on a `Lease` by its name.

After the database's clock was set back, the lease of a process that died expires far in the future. Who asks for it
shortens it to its length from now. A living owner renews it in that time.
"""

import os
import secrets
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar

from django.db.models import Case, Exists, F, Q, QuerySet, When

from cronium_admin.core.database.clock import Now
from cronium_admin.core.models import Lease, Leased

L = TypeVar("L", bound=Leased)
STEP = timedelta(seconds=5)  # a smaller difference is a slow query, or a time server that slews the clock


class LeaseLost(Exception):
    """Another owner has the lease now. The work that needed it must stop."""


def make_owner() -> str:
    # The machine and the process are for people who read the row.
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def acquire_rows(rows: "QuerySet[L]", owner: str, duration: timedelta, or_if: Q | None = None, **columns: Any) -> bool:
    """Take the row if it is free, expired or already `owner`'s; also where `or_if` holds. False while another has it.

    `columns` are set in the same UPDATE.
    """
    is_free = Q(owner="") | Q(owner=owner) | Q(lease_expires_at=None) | Q(lease_expires_at__lte=Now())
    if or_if is not None:
        is_free |= or_if
    if rows.filter(is_free).update(owner=owner, lease_expires_at=Now() + duration, **columns):
        return True
    shorten_rows(rows, duration)
    return False


def shorten_rows(rows: "QuerySet[L]", duration: timedelta) -> int:
    """Ends leases that would last longer than `duration`: the database's clock was set back since their last
    renewal."""
    longer = rows.filter(lease_expires_at__gt=Now() + duration + STEP)
    return longer.update(lease_expires_at=Now() + duration)


def renew_rows(rows: "QuerySet[L]", owner: str, duration: timedelta, **columns: Any) -> bool:
    """Extend the lease; False when another owner has acquired it. An expired lease without a new owner is renewed."""
    return bool(rows.filter(owner=owner).update(lease_expires_at=Now() + duration, **columns))


def release_rows(rows: "QuerySet[L]", owner: str) -> bool:
    return bool(rows.filter(owner=owner).update(owner="", lease_expires_at=None))


def is_held(owner: str | None = None) -> Q:
    """A condition on rows of `Leased`: `owner`, or by default any process, holds the row's lease."""
    return Q(lease_expires_at__gt=Now()) & (~Q(owner="") if owner is None else Q(owner=owner))


def acquire_lease(name: str, owner: str, seconds: float) -> int | None:
    """Acquire or renew the lease; its epoch, or None while another owner holds it.

    The epoch grows whenever another owner acquires the lease, and whenever it is acquired after a release.
    """
    row, duration = Lease.objects.filter(name=name), timedelta(seconds=seconds)
    epoch = Case(When(owner=owner, then=F("epoch")), default=F("epoch") + 1)
    if not acquire_rows(row, owner, duration, epoch=epoch):
        if row.exists():
            return None
        Lease.objects.bulk_create([Lease(name=name)], ignore_conflicts=True)  # another process may do the same
        if not acquire_rows(row, owner, duration, epoch=epoch):
            return None
    return row.filter(owner=owner).values_list("epoch", flat=True).first()


def renew_lease(name: str, owner: str, seconds: float) -> bool:
    return renew_rows(Lease.objects.filter(name=name), owner, timedelta(seconds=seconds))


def release_lease(name: str, owner: str) -> bool:
    return release_rows(Lease.objects.filter(name=name), owner)


def holds_lease(name: str, owner: str, epoch: int | None = None) -> Q:
    """A condition for any UPDATE: `owner` holds the lease when the statement begins.

    With `epoch` also: and has held it without a break since it was given that epoch.
    """
    row = Lease.objects.filter(is_held(owner), name=name)
    return Q(Exists(row if epoch is None else row.filter(epoch=epoch)))


@dataclass
class HeldLease:
    """A lease that this process has acquired, for one thread. Long work calls `keep` again and again."""

    name: str
    owner: str
    epoch: int
    seconds: float
    _renewed_at: float = field(default_factory=monotonic)

    def holds(self) -> Q:
        return holds_lease(self.name, self.owner, self.epoch)

    def keep(self) -> None:
        """Renew the lease once a third of its time has passed. Raises LeaseLost."""
        if monotonic() - self._renewed_at < self.seconds / 3:
            return
        if acquire_lease(self.name, self.owner, self.seconds) != self.epoch:
            raise LeaseLost(f"another process holds the lease {self.name}")
        self._renewed_at = monotonic()
