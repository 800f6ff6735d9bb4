"""Checks the storage of archived logs: writes a small object, reads it back and deletes it."""

import secrets
from collections.abc import Iterator
from io import BytesIO

from django.conf import settings

from cronium_admin.logs.storage.base import StorageBackend, StorageUnavailable, open_backend
from cronium_admin.workers.health.probe import HealthProbe
from cronium_admin.workers.health.results import CheckResult

MEND = "Check CRONIUM_LOG_STORAGE, and for a bucket its name, keys, endpoint, and the permission to delete objects."


def check_log_storage(_: HealthProbe) -> Iterator[CheckResult]:
    url = settings.CONFIG.log_storage
    if not url:
        yield CheckResult("log storage", "ok", "Logs stay in the database")
        return
    try:
        came_back = _try_round_trip(open_backend(url))
    except StorageUnavailable as error:
        yield CheckResult("log storage", "failed", f"{url}: {error.__cause__ or error}", MEND)
        return
    if came_back:
        yield CheckResult("log storage", "ok", f"{url}: an object was written, read and deleted")
    else:
        yield CheckResult("log storage", "failed", f"{url} returns other bytes than were written", MEND)


def _try_round_trip(store: StorageBackend) -> bool:
    name, data = f"doctor/{secrets.token_hex(8)}", secrets.token_bytes(64)
    store.write_object(name, BytesIO(data))
    try:
        return store.fetch_size(name) == len(data) and store.read_range(name, 16, 32) == data[16:48]
    finally:
        store.delete_object(name)
