"""Asks a registry that limits pulls how long to wait: no error of an engine contains the header Retry-After."""

import ssl
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime

from cronium_admin.core.database.clock import database_now
from cronium_admin.registries.addresses import DOCKER_HUB, is_loopback, split_host
from cronium_admin.registries.models import Registry
from executor.naming import strip_tag

TIMEOUT_SECONDS = 5.0
LEAST_SECONDS, MOST_SECONDS = 1.0, 120.0
_HUB_API = "registry-1.docker.io"


def read_retry_after(registry: Registry, reference: str) -> float | None:
    """The seconds that the registry asks to wait, between LEAST_SECONDS and MOST_SECONDS; None if it does not say.

    Sends no credentials. `reference` is canonical, with a tag or a digest.
    """
    host = split_host(registry.address)
    scheme = "http" if is_loopback(registry.address) and not registry.ca else "https"
    name = strip_tag(reference)
    version = reference.partition("@")[2] or reference.removeprefix(f"{name}:")
    url = f"{scheme}://{_HUB_API if host == DOCKER_HUB else host}/v2/{name.partition('/')[2]}/manifests/{version}"
    context = ssl.create_default_context(cadata=registry.ca or None)
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the scheme is one of the two above
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=context):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        with error:
            return _parse(error.headers.get("Retry-After", "")) if error.code == 429 else None
    except (OSError, ValueError):
        return None


def _parse(text: str) -> float | None:
    """Seconds, or a date."""
    text = text.strip()
    try:
        seconds = float(text) if text.isdecimal() else (parsedate_to_datetime(text) - database_now()).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(MOST_SECONDS, max(LEAST_SECONDS, seconds))
