"""Where archived logs lie: a bucket or a folder, as objects that are written once, read in parts and deleted.

Knows nothing of runs. What goes wrong becomes one of two errors in words; the details go to the server's log.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from io import IOBase
from typing import Protocol

from django.conf import settings

from cronium_admin.core.errors import ApiError

log = logging.getLogger("cronium.archive")
CODE = "log_storage_unavailable"
PART_BYTES = 4 * 1024 * 1024  # bytes that are read at a time to verify an object
OPEN_SECONDS = 5.0  # a storage that did not answer is not asked again so soon: who reads live logs must not wait for it


class StorageUnavailable(ApiError):
    """The storage does not answer, or refuses. Trying again later may help."""

    def __init__(self, status: int = 503, words: str = "does not answer just now. Try again in a moment") -> None:
        super().__init__(status, CODE, f"This log is in the archive, which {words}. The server's log says more.")


class ObjectMissing(StorageUnavailable):
    """An object is not there, or is shorter than it was."""

    def __init__(self) -> None:
        super().__init__(502, "does not have it any more, or not whole")


class StorageBackend(Protocol):
    """One place for objects, used by many threads. Names hold no `..` and don't begin with a slash."""

    def write_object(self, name: str, content: IOBase) -> None:
        """Write an object from all that `content` gives; it lasts when this returns. Raises Unavailable, or what
        `content` raises."""

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start` on. Raises Missing where there is nothing, and Unavailable."""

    def fetch_size(self, name: str) -> int: ...

    def delete_object(self, name: str) -> None:
        """Of what is not there, too; and of what was begun under this name."""


class CircuitBreaker:
    """A store that, once it failed, is left alone for a while: its errors then come at once."""

    def __init__(self, store: StorageBackend) -> None:
        self._backend = store
        self._lock = threading.Lock()
        self._open_until = 0.0

    def write_object(self, name: str, content: IOBase) -> None:
        self._backend.write_object(name, content)

    def delete_object(self, name: str) -> None:
        self._backend.delete_object(name)

    def fetch_size(self, name: str) -> int:
        return self._backend.fetch_size(name)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        with self._lock:
            if time.monotonic() < self._open_until:
                raise StorageUnavailable
        try:
            return self._backend.read_range(name, start, length)
        except ObjectMissing:
            raise
        except StorageUnavailable:
            with self._lock:
                self._open_until = time.monotonic() + OPEN_SECONDS
            raise


def open_backend(url: str) -> StorageBackend:
    """The store at `url`, as CRONIUM_LOG_STORAGE has it; one a process. Raises Unavailable."""
    config = settings.CONFIG
    keys = config.log_s3_endpoint, config.log_s3_region, config.log_s3_access_key, config.log_s3_secret_key
    return _open_cached(url, *keys)


@lru_cache(maxsize=8)
def _open_cached(url: str, endpoint: str, region: str, access_key: str, secret_key: str) -> StorageBackend:
    if url.startswith("file://"):
        from cronium_admin.logs.storage.file import FileBackend

        return CircuitBreaker(FileBackend(url.removeprefix("file://")))
    # Here, as boto3 takes a quarter of a second and 25 MB that most installations have no use for.
    from cronium_admin.logs.storage.s3 import S3Backend

    return CircuitBreaker(S3Backend(url, endpoint, region, access_key, secret_key))


def compute_fingerprint(store: StorageBackend, name: str, hold: Callable[[], object] = lambda: None) -> tuple[int, str]:
    """How long an object is and its SHA-256 in hex, read back from the store; `hold` is called now and then."""
    size, digest, at = store.fetch_size(name), hashlib.sha256(), 0
    while at < size:
        hold()
        part = store.read_range(name, at, min(PART_BYTES, size - at))
        if not part:
            raise ObjectMissing
        digest.update(part)
        at += len(part)
    return at, digest.hexdigest()
