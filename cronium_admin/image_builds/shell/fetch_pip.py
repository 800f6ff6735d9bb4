"""Runs inside a build: downloads the newest wheel of pip that this python can run, from PIP_INDEX_URL to a folder."""

import base64
import os
import re
import sys
import urllib.parse
import urllib.request
from http.client import HTTPException


def read(url: str) -> bytes:
    parts = urllib.parse.urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urllib.parse.urlunsplit((parts.scheme, host, parts.path, parts.query, "")))  # noqa: S310
    if at:
        request.add_unredirected_header(
            "Authorization", "Basic " + base64.b64encode(urllib.parse.unquote(login).encode()).decode()
        )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the settings allow http and https only
        return bytes(answer.read())


def parse_version(name: str) -> "tuple[int, ...]":
    found = re.match(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl$", name)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def main() -> None:
    index = os.environ["PIP_INDEX_URL"].rstrip("/") + "/pip/"
    page = read(index).decode()
    best: tuple[tuple[int, ...], str] = ((), "")
    for tag in re.findall(r"<a\s[^>]*>", page):
        link = re.search(r"href=[\"']([^\"']+)", tag)
        needed = re.search(r"data-requires-python=[\"'](?:&gt;|>)=\s*3\.(\d+)", tag)
        if link is None or (needed and sys.version_info < (3, int(needed[1]))) or "data-yanked" in tag:
            continue
        url = urllib.parse.urljoin(index, link[1]).partition("#")[0]
        best = max(best, (parse_version(url.rpartition("/")[2]), url))
    if not best[0]:
        sys.exit("the package index has no wheel of pip")
    url, own = best[1], urllib.parse.urlsplit(os.environ["PIP_INDEX_URL"])
    parts = urllib.parse.urlsplit(url)
    if "@" in own.netloc and parts.netloc == own.netloc.rpartition("@")[2]:
        url = urllib.parse.urlunsplit(parts._replace(netloc=own.netloc))
    with open(os.path.join(sys.argv[1], best[1].rpartition("/")[2]), "wb") as file:
        file.write(read(url))


try:
    main()
except (OSError, ValueError, HTTPException) as problem:  # urllib's errors are OSErrors; they contain no credentials
    host = urllib.parse.urlsplit(os.environ["PIP_INDEX_URL"]).hostname
    sys.exit(f"cronium-build: pip could not be fetched from {host}: {problem}")
