"""The storage of archived logs: a small object is written, read back and deleted."""

import secrets
from collections.abc import Iterator
from io import BytesIO

from django.conf import settings

from cronium_admin.logs.storage.base import Store, Unavailable, open_store
from cronium_admin.workers.health.probe import Patient
from cronium_admin.workers.health.results import Row

MEND = "Check CRONIUM_LOG_STORAGE, and for a bucket its name, keys and endpoint; it must let objects be deleted."


def log_storage(_: Patient) -> Iterator[Row]:
    url = settings.CONFIG.log_storage
    if not url:
        yield Row("log storage", "ok", "Logs stay in the database")
        return
    try:
        came_back = _tried(open_store(url))
    except Unavailable as error:
        yield Row("log storage", "failed", f"{url}: {error.__cause__ or error}", MEND)
        return
    if came_back:
        yield Row("log storage", "ok", f"{url}: an object was written, read and deleted")
    else:
        yield Row("log storage", "failed", f"{url} gives back other bytes than it was given", MEND)


def _tried(store: Store) -> bool:
    """Whether a part of what was written comes back; nothing stays."""
    name, data = f"doctor/{secrets.token_hex(8)}", secrets.token_bytes(64)
    store.put(name, BytesIO(data))
    try:
        return store.size(name) == len(data) and store.read(name, 16, 32) == data[16:48]
    finally:
        store.delete(name)
