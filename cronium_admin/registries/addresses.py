"""Addresses of registries: `host[:port][/prefix]`, and which of them an image's name belongs to. Pure."""

import re
from ipaddress import ip_address

from django.core.exceptions import ValidationError

from cronium_admin.images.reference import canonicalize_reference
from executor.naming import strip_tag

MAX_LENGTH = 255
DOCKER_HUB = "docker.io"
# The server that Docker Hub's credentials are for; all other registries are named by their host.
DOCKER_HUB_SERVER = "https://index.docker.io/v1/"
_ALIASES = {"index.docker.io": DOCKER_HUB, "registry-1.docker.io": DOCKER_HUB, "registry.hub.docker.com": DOCKER_HUB}
_HOST = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_ADDRESS = re.compile(rf"({_HOST})(?::([0-9]{{1,5}}))?((?:/{_COMPONENT})*)")


def parse_address(text: str) -> str:
    """The canonical form of an address. Raises ValidationError."""
    value = text.strip().lower().rstrip("/")
    if re.match(r"[a-z][a-z0-9+.-]*://", value):
        raise ValidationError("Write the address without https://, such as registry.example.com:5000/team.")
    found = _ADDRESS.fullmatch(value) if len(value) <= MAX_LENGTH else None
    host, port, prefix = found.groups() if found else ("", None, "")
    if (
        not found
        or (port is not None and not 0 < int(port) < 65536)
        or not ("." in host or port or host == "localhost")
    ):
        raise ValidationError(
            "Not a registry's address. Write it as host[:port][/prefix] in lower case, such as ghcr.io/acme or "
            "registry.example.com:5000. A host without a dot needs a port."
        )
    host = _ALIASES.get(host, host)
    return f"{host}:{port}{prefix}" if port else f"{host}{prefix}"


def split_host(address: str) -> str:
    """The part `host[:port]`."""
    return address.partition("/")[0]


def find_server(address: str) -> str:
    """The server's name for credentials, as the engine and credential helpers expect it."""
    host = split_host(address)
    return DOCKER_HUB_SERVER if host == DOCKER_HUB else host


def is_loopback(address: str) -> bool:
    """Whether the registry is on the engine's own machine, where plain HTTP leaves no machine."""
    host = split_host(address).rpartition(":")[0] or split_host(address)
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_local_name(reference: str) -> bool:
    """Whether the image is made here: `cronium/...` without a registry is never looked for on Docker Hub."""
    return canonicalize_reference(reference).startswith(f"{DOCKER_HUB}/cronium/")


def list_prefixes(reference: str) -> list[str]:
    """The addresses that the image could belong to, longest first: `h/a/b:1` -> h/a/b, h/a, h."""
    name = strip_tag(canonicalize_reference(reference))
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def has_image(address: str, reference: str) -> bool:
    """Whether the image is one of the registry: only then may it get the registry's credentials."""
    return address in list_prefixes(reference)
