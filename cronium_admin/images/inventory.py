"""The images of each host, as reported by the hosts, for the Images page and the API. Never queries an engine."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from cronium_admin.core.database.clock import Now
from cronium_admin.images.models import HostImage, HostInventory
from cronium_admin.images.reference import canonicalize_reference

MAX_NAMES = 500  # stored names per host
MAX_REPORT_AGE = timedelta(seconds=60)  # hosts report every ten seconds; older reports are ignored
KEEP_REPORTS = timedelta(days=7)


@dataclass(frozen=True)
class ReportedImage:
    """An image in a host's report."""

    id: str
    references: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class HostPresence:
    """Whether a host had an image at `reported_at`; None in `is_present`: its report does not list all its images."""

    host: str
    reported_at: datetime
    is_present: bool | None
    image_id: str = ""
    size: int = 0


@dataclass(frozen=True)
class Presence:
    """One image on all hosts with a recent report."""

    reference: str
    hosts: list[HostPresence] = field(default_factory=list)

    @property
    def number(self) -> int:
        return len(self.hosts)

    @property
    def missing(self) -> list[str]:
        return [item.host for item in self.hosts if item.is_present is False]

    @property
    def present(self) -> list[HostPresence]:
        return [item for item in self.hosts if item.is_present]

    @property
    def is_everywhere(self) -> bool:
        return bool(self.hosts) and len(self.present) == len(self.hosts)

    @property
    def is_nowhere(self) -> bool:
        return bool(self.hosts) and len(self.missing) == len(self.hosts)


def store_report(host: str, images: Iterable[ReportedImage]) -> None:
    # An unchanged report costs one statement.
    rows = sorted(
        (canonicalize_reference(name), image.id[:80], image.size) for image in images for name in image.references
    )
    rows = [row for row in rows if len(row[0]) <= 400]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    if HostInventory.objects.filter(host=host, digest=digest).update(reported_at=Now()):
        return
    with transaction.atomic():
        values = {"reported_at": Now(), "digest": digest, "is_cut": len(rows) > MAX_NAMES}
        inventory, _ = HostInventory.objects.update_or_create(host=host, defaults=values)
        inventory.images.all().delete()
        HostImage.objects.bulk_create(
            HostImage(inventory=inventory, reference=name, image_id=image_id, size=size)
            for name, image_id, size in rows[:MAX_NAMES]
        )
        HostInventory.objects.filter(reported_at__lt=Now() - KEEP_REPORTS).delete()


def delete_inventory(host: str) -> None:
    HostInventory.objects.filter(host=host).delete()


def find_presence(references: Iterable[str]) -> dict[str, Presence]:
    """The presence by reference. Makes two queries for any number of references."""
    names = {reference: canonicalize_reference(reference) for reference in references}
    hosts = list(HostInventory.objects.filter(reported_at__gte=Now() - MAX_REPORT_AGE).order_by("host"))
    rows = HostImage.objects.filter(inventory__in=hosts, reference__in=set(names.values()))
    ids = [name for name in names.values() if name.startswith("sha256:")]
    if ids:
        rows = rows | HostImage.objects.filter(inventory__in=hosts, image_id__in=ids)
    have = {}
    for row in rows.order_by(F("pk")):
        have[row.inventory_id, row.reference] = have[row.inventory_id, row.image_id] = row
    return {
        reference: Presence(reference, [_make_host_presence(host, have.get((host.pk, name))) for host in hosts])
        for reference, name in names.items()
    }


def _make_host_presence(host: HostInventory, row: HostImage | None) -> HostPresence:
    if row is not None:
        return HostPresence(host.host, host.reported_at, True, row.image_id, row.size)
    return HostPresence(host.host, host.reported_at, None if host.is_cut else False)
