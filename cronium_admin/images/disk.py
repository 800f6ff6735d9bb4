"""The disks of the hosts' engines and the decisions about their images, as rows; for the Images page and the API."""

from collections.abc import Sequence
from typing import Any

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
    at = database_now().isoformat()
    row = HostDisk.objects.filter(host=host).first()
    earlier = row.removed if row else []
    values = {
        "measured_at": Now(),
        "total_bytes": total_bytes,
        "used_bytes": used_bytes,
        "removable_bytes": sum(verdict["size"] for verdict in verdicts if verdict["removable"]),
        "verdicts": list(verdicts[:MAX_VERDICTS]),
        "removed": [*({**item, "at": at} for item in removed), *earlier][:MAX_REMOVED],
        "note": note[:300],
    }
    HostDisk.objects.update_or_create(host=host, defaults=values)


def list_disks() -> list[HostDisk]:
    return list(HostDisk.objects.order_by("host"))


def delete_disk(host: str) -> None:
    HostDisk.objects.filter(host=host).delete()
