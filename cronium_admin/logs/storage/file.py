"""Objects as files in a folder, with Django's FileSystemStorage. All web processes must have access to the folder."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import IO, cast

from django.core.exceptions import SuspiciousFileOperation
from django.core.files import File
from django.core.files.storage import FileSystemStorage

from cronium_admin.core.data_folder import sync_to_disk
from cronium_admin.logs.storage.base import ObjectMissing, StorageUnavailable

log = logging.getLogger("cronium.archive")


class FileBackend:
    """Files and folders are readable by their owner only."""

    def __init__(self, folder: str) -> None:
        self._files = FileSystemStorage(
            location=folder, allow_overwrite=True, file_permissions_mode=0o600, directory_permissions_mode=0o700
        )

    def write_object(self, name: str, content: IOBase) -> None:
        with _translate_errors(f"{name} cannot be written"):
            self._files.save(name, File(cast("IO[bytes]", content), name))
            path = Path(self._files.path(name))
            # The copy in the database is removed next: the file and its name must survive a power failure.
            for place in (path, *path.parents[: 1 + name.count("/")]):
                sync_to_disk(place)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        with _translate_errors(f"{name} cannot be read"), open(self._files.path(name), "rb") as file:
            file.seek(start)
            return file.read(length)

    def fetch_size(self, name: str) -> int:
        with _translate_errors(f"{name} cannot be read"):
            return self._files.size(name)

    def delete_object(self, name: str) -> None:
        with _translate_errors(f"{name} cannot be deleted"):
            self._files.delete(name)


@contextmanager
def _translate_errors(problem: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        log.warning("the archive's file %s: %s", problem, error)
        raise ObjectMissing from error
    except (OSError, SuspiciousFileOperation) as error:
        log.warning("the archive's file %s: %s", problem, error)
        raise StorageUnavailable from error
