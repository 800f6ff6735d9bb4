"""The engine's calls that make images out of containers and archives. Raises the types of `executor.docker.errors`.

Every method may be repeated. `image_calls` names and removes images.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import docker

from executor.docker import errors
from executor.docker.models import Image, parse_image
from executor.docker.progress import find_error
from executor.docker.session import SessionCache, translate_errors

BLOCK_BYTES = 1 << 20
# Without a byte for so long, a transfer fails: a commit and a load copy the whole file system before they answer.
ARCHIVE_SECONDS = 600
_LOADED_ID, _LOADED_NAME = "Loaded image ID: ", "Loaded image: "


class ImageArchives:
    """The attribute `archives` of `client.Engine`. Thread-safe."""

    def __init__(self, sessions: SessionCache) -> None:
        self._sessions = sessions

    @property
    def _control(self) -> docker.APIClient:
        return self._sessions.open_session().control

    @contextmanager
    def _open_client(self, operation: str) -> Iterator[Any]:
        # A client of its own: its timeout is longer than that of control calls.
        with translate_errors(operation), self._sessions.open_fresh_client() as fresh:
            client: Any = fresh
            client.timeout = ARCHIVE_SECONDS
            yield client

    def measure_disk(self, container: str) -> int:
        """The bytes that the container's processes have written to its root."""
        client: Any = self._sessions.open_session().control
        with translate_errors(f"measure the disk usage of {container}"):
            answer = client._result(
                client._get(client._url("/containers/{0}/json", container), params={"size": 1}), True
            )
        return int(answer.get("SizeRw") or 0)

    def read_image(self, reference: str) -> dict[str, Any] | None:
        """The engine's whole answer; None without the image."""
        try:
            with translate_errors(f"look up the image {reference}"):
                return dict(self._control.inspect_image(reference))  # type: ignore[no-untyped-call]
        except errors.NotFound:
            return None

    def read_names(self, image_id: str) -> list[str] | None:
        """The names and tags of an image; None without the image."""
        answer = self.read_image(image_id)
        return None if answer is None else list(answer.get("RepoTags") or [])

    def list_labelled(self, label: str, value: str) -> list[Image]:
        """The images with a label, also those without a name."""
        with translate_errors("list its images"):
            return [parse_image(row) for row in self._control.images(filters={"label": [f"{label}={value}"]})]

    def commit(self, container: str, name: str, tag: str) -> str:
        """Makes the image `name:tag` of a stopped container; returns its id.

        The image has the container's labels and environment: it is not for use, only for an archive.
        """
        with self._open_client(f"commit {container}") as client:
            return str(client.commit(container, repository=name, tag=tag)["Id"])

    def save(self, reference: str, target: IO[bytes]) -> None:
        """Writes the archive of an image to `target`."""
        with self._open_client(f"save the image {reference}") as client:
            try:
                answer = client._get(client._url("/images/{0}/get", reference), stream=True)
                client._raise_for_status(answer)
            except docker.errors.NotFound as error:
                raise errors.ImageMissing(f"The image {reference} is not on this host.") from error
            with answer:
                for block in answer.iter_content(BLOCK_BYTES):
                    target.write(block)

    def load(self, source: IO[bytes]) -> str:
        """Loads an archive; returns the engine's reference of the image: its name, or its id if it has none."""
        reference = ""
        with self._open_client("load an image") as client:
            address, headers = client._url("/images/load"), {"Content-Type": "application/x-tar"}
            answer = client._post(address, data=source, params={"quiet": 1}, headers=headers, stream=True)
            client._raise_for_status(answer)
            with answer:
                for line in answer.iter_lines():
                    reference = _read_event(line) or reference
        if not reference:
            raise errors.EngineError("The engine loaded an image and did not say which.")
        return reference


def _read_event(line: bytes) -> str:
    if not line.strip():
        return ""
    event = json.loads(line)
    if error := find_error(event):
        raise errors.EngineError(f"The engine could not load an image: {error}")
    text = str(event.get("stream") or "").strip()
    for prefix in (_LOADED_ID, _LOADED_NAME):
        if text.startswith(prefix):
            return text.removeprefix(prefix)
    return ""
