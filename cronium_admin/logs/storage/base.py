"""Storage backends of archived logs: a bucket or a folder of objects that are written once, read in parts and deleted.

Knows nothing about runs. Every failure becomes StorageUnavailable or ObjectMissing; the details go to the server's log.
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
PART_BYTES = 4 * 1024 * 1024  # bytes per read when an object is verified
OPEN_SECONDS = 5.0  # after a failed read no request is sent: readers of live logs must not wait for the storage


class StorageUnavailable(ApiError):
    """The storage does not answer, or refuses the request. A later attempt may succeed."""

    def __init__(self, status: int = 503, problem: str = "does not answer. Try again in a moment") -> None:
        super().__init__(status, CODE, f"This log is in the archive, which {problem}. The server's log has the cause.")


class ObjectMissing(StorageUnavailable):
    """An object does not exist, or is shorter than it was."""

    def __init__(self) -> None:
        super().__init__(502, "no longer has all of it")


class StorageBackend(Protocol):
    """Stores objects; thread-safe. Names contain no `..` and do not begin with a slash."""

    def write_object(self, name: str, content: IOBase) -> None:
        """Write an object with the whole of `content`; it is durable when this returns. Raises StorageUnavailable, and
        the errors of `content`."""

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start`. Raises ObjectMissing and StorageUnavailable."""

    def fetch_size(self, name: str) -> int: ...

    def delete_object(self, name: str) -> None:
        """Also deletes unfinished uploads of this name. Succeeds if the object does not exist."""


class CircuitBreaker:
    """A backend that fails at once for OPEN_SECONDS after a failed read, without a request."""

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
    """The backend of `url` (the form of CRONIUM_LOG_STORAGE), one per process. Raises StorageUnavailable."""
    config = settings.CONFIG
    keys = config.log_s3_endpoint, config.log_s3_region, config.log_s3_access_key, config.log_s3_secret_key
    return _open_cached(url, *keys)


@lru_cache(maxsize=8)
def _open_cached(url: str, endpoint: str, region: str, access_key: str, secret_key: str) -> StorageBackend:
    if url.startswith("file://"):
        from cronium_admin.logs.storage.file import FileBackend

        return CircuitBreaker(FileBackend(url.removeprefix("file://")))
    # Imported here: boto3 costs a quarter of a second and 25 MB that most installations do not need.
    from cronium_admin.logs.storage.s3 import S3Backend

    return CircuitBreaker(S3Backend(url, endpoint, region, access_key, secret_key))


def compute_fingerprint(
    backend: StorageBackend, name: str, hold: Callable[[], object] = lambda: None
) -> tuple[int, str]:
    """The size of an object and its SHA-256 in hex, read back from the backend. Calls `hold` before each part."""
    size, digest, offset = backend.fetch_size(name), hashlib.sha256(), 0
    while offset < size:
        hold()
        part = backend.read_range(name, offset, min(PART_BYTES, size - offset))
        if not part:
            raise ObjectMissing
        digest.update(part)
        offset += len(part)
    return offset, digest.hexdigest()
