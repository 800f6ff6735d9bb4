"""Asks the engine, for the Images page, whether it has an image. Pulls nothing, and never keeps a page waiting long."""

from hashlib import sha256

from django.core.cache import cache
from docker import APIClient
from docker.errors import APIError, DockerException, NotFound
from requests import RequestException

from cronium_admin.images.engine import client as engine_client

_TIMEOUT = 2  # seconds for one answer of the engine
_KEPT = 10  # seconds an answer is believed


def presence(references: list[str]) -> dict[str, bool | None]:
    """For each reference whether the engine has it; None when the engine can't be asked."""
    wanted = sorted(set(references))
    key = "images.presence:" + sha256("\n".join(wanted).encode()).hexdigest()
    known: dict[str, bool | None] | None = cache.get(key)
    if known is None:
        known = _ask(wanted)
        cache.set(key, known, _KEPT)
    return known


def _ask(references: list[str]) -> dict[str, bool | None]:
    try:
        client = engine_client(_TIMEOUT)
    except (DockerException, RequestException):
        return dict.fromkeys(references)
    try:
        return {reference: _has(client, reference) for reference in references}
    except (DockerException, RequestException):
        return dict.fromkeys(references)
    finally:
        client.close()


def _has(client: APIClient, reference: str) -> bool | None:
    try:
        client.inspect_image(reference)  # type: ignore[no-untyped-call]
    except NotFound:
        return False
    except APIError:
        return None
    return True
