"""Saves and loads images as archives, through docker-py."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, cast

import docker

from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.normalize import NormalizedImage
from executor.docker.progress import find_error

ARCHIVE_SECONDS = 600  # an engine copies all layers before it answers
_LOADED = ("Loaded image ID: ", "Loaded image: ")


def save_image(client: docker.APIClient, reference: str, target: IO[bytes]) -> None:
    """Writes the archive of `docker save` and returns to its first byte."""
    with use_timeout(client, ARCHIVE_SECONDS):
        for block in client.get_image(reference):
            target.write(block)
    target.seek(0)


def load_image(client: docker.APIClient, archive: IO[bytes], image: NormalizedImage) -> str:
    """Loads an archive of `image`, and returns the engine's id of it. Raises ImageBuildError."""
    archive.seek(0)
    loaded = ""
    with use_timeout(client, ARCHIVE_SECONDS):
        events: Iterable[dict[str, Any]] = client.load_image(archive, quiet=False)  # type: ignore[no-untyped-call]
        for event in events:
            if problem := find_error(event):
                raise ImageBuildError(f"The Docker Engine could not load the image: {problem}")
            text = str(event.get("stream") or "").strip()
            loaded = next((text.removeprefix(prefix) for prefix in _LOADED if text.startswith(prefix)), loaded)
    if not loaded:
        raise ImageBuildError("The Docker Engine loaded the image and did not report its id.")
    found = str(client.inspect_image(loaded)["Id"])  # type: ignore[no-untyped-call]
    if not image.has_id(found):
        raise ImageBuildError(f"The Docker Engine loaded another image than was built: {found}.")
    return found


@contextmanager
def use_timeout(client: docker.APIClient, seconds: int) -> Iterator[None]:
    previous, client.timeout = client.timeout, seconds
    try:
        yield
    finally:
        client.timeout = previous


@contextmanager
def open_archive_file() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile(dir="/var/tmp") as file:  # on a disk; /tmp is often in memory
        yield cast(BinaryIO, file)
