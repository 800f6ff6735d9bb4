"""Downloads ruff for the image that checks scripts: the wheel that `images/linter/ruff.json` names, by its SHA-256.

It is downloaded on this machine and not in the build, which knows neither the machine's certificates nor its package
index. Uses no package beside Python's own: releases call it without an installation.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import ssl
import urllib.request
import zipfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from cronium_admin.images.errors import ImageBuildError

SECONDS = 20.0
_MAX_PAGE, _MAX_WHEEL = 32 << 20, 64 << 20
_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class PackageIndex:
    """A package index of Python. `url` may contain a user and a password; `ca_file`: of its certificates."""

    url: str = "https://pypi.org/simple"
    ca_file: str = ""


def fetch_tools(sources: Path, architecture: str, index: PackageIndex) -> dict[str, bytes]:
    """The files of the context's folder `tools/`, by their path in the context. Raises ImageBuildError.

    `architecture`: as an engine reports it.
    """
    pinned = json.loads((sources / "linter" / "ruff.json").read_text())
    wheel = pinned["wheels"].get(_NAMES.get(architecture, architecture))
    if wheel is None:
        raise ImageBuildError(f"There is no ruff for the architecture {architecture}.")
    host = urlsplit(index.url).hostname
    try:
        context = ssl.create_default_context()
        if index.ca_file:
            context.load_verify_locations(index.ca_file)
        content = _download(index.url.rstrip("/"), wheel["file"], context)
    except (OSError, ValueError, HTTPException) as error:  # urllib's errors are OSErrors; they contain no credentials
        raise ImageBuildError(f"{wheel['file']} could not be downloaded from {host}: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != wheel["sha256"]:
        raise ImageBuildError(f"{wheel['file']} of {host} has the SHA-256 {found}, and not {wheel['sha256']}.")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = {"tools/ruff": ".data/scripts/ruff", "tools/METADATA": ".dist-info/METADATA"}
        return {path: archive.read(f"ruff-{pinned['version']}{name}") for path, name in names.items()}


def _download(index: str, file: str, context: ssl.SSLContext) -> bytes:
    address = f"{index}/ruff/"
    page = _read(address, index, context, _MAX_PAGE).decode("utf-8", "replace")
    links = (link.partition("#")[0] for link in re.findall(r"href=[\"']([^\"']+)", page))
    link = next((link for link in links if link.rpartition("/")[2] == file), None)
    if link is None:
        raise ValueError("the package index does not have it")
    return _read(urljoin(address, link), index, context, _MAX_WHEEL)


def _read(url: str, index: str, context: ssl.SSLContext, most: int) -> bytes:
    """Sends the index's credentials to the index's own host only."""
    parts, own = urlsplit(url), urlsplit(index)
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"the index names an address that is not HTTP: {parts.scheme}:")
    request = urllib.request.Request(urlunsplit((parts.scheme, host, parts.path, parts.query, "")))  # noqa: S310
    login, at, own_host = own.netloc.rpartition("@")
    if at and (parts.scheme, host) == (own.scheme, own_host):
        value = base64.b64encode(unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {value}")
    with urllib.request.urlopen(request, timeout=SECONDS, context=context) as answer:  # noqa: S310 - checked above
        content = bytes(answer.read(most + 1))
    if len(content) > most:
        raise ValueError(f"the answer is larger than {most >> 20} MB")
    return content
