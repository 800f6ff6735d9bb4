"""The disks of the hosts' engines and the decisions about their images, as rows; for the Images page and the API."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.images.models import HostDisk

MAX_VERDICTS, MAX_REMOVED = 300, 50


def store_disk(
    host: str,
    total_bytes: int | None,
    used_bytes: int | None,
    verdicts: Sequence[dict[str, Any]],
    removed: Sequence[dict[str, Any]] = (),
    note: str = "",
) -> None:
    """`verdicts` and `removed` as in `HostDisk`; `removed` without `at`, which is now."""
    values = {
        "measured_at": Now(),
        "total_bytes": total_bytes,
        "used_bytes": used_bytes,
        "removable_bytes": sum(verdict["size"] for verdict in verdicts if verdict["removable"]),
        "verdicts": list(verdicts[:MAX_VERDICTS]),
        "note": note[:300],
    }
    HostDisk.objects.update_or_create(host=host, defaults=values)
    record_removed(host, removed)


def record_removed(host: str, removed: Sequence[dict[str, Any]]) -> None:
    """Adds images to the host's list of removed ones, if it has measured its disk before."""
    if not removed:
        return
    at = database_now().isoformat()
    with transaction.atomic():
        row = HostDisk.objects.select_for_update().filter(host=host).first()
        if row is not None:
            added = [{**item, "at": at} for item in removed]
            HostDisk.objects.filter(pk=row.pk).update(removed=[*added, *row.removed][:MAX_REMOVED])


def list_disks() -> list[HostDisk]:
    return list(HostDisk.objects.order_by("host"))


def delete_disk(host: str) -> None:
    HostDisk.objects.filter(host=host).delete()
