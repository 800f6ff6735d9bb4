"""The package mirrors of image builds: checks their settings, and separates credentials from addresses. Pure except
`check_certificates`, which reads a file."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

MAX_CA_BYTES = 1024 * 1024
_PORTS = {"http": 80, "https": 443}
_HOST_PORT = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?:(?:[0-9]{1,5}|\*)")
_UNSAFE = re.compile(r"[\s\"'`$\\<>|;&(){}\x00-\x1f\x7f]")
_PEM = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class Mirror:
    """A mirror's address. `url` is without credentials, and without a slash at its end."""

    url: str
    user: str = ""
    password: str = ""

    @property
    def host(self) -> str:
        return str(urlsplit(self.url).hostname)

    @property
    def pattern(self) -> str:
        """`host:port`, as the egress list of a run has it."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"

    @property
    def has_login(self) -> bool:
        return bool(self.user or self.password)


def parse_mirror(url: str) -> Mirror:
    parts = urlsplit(url)
    clean = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
    return Mirror(clean, unquote(parts.username or ""), unquote(parts.password or ""))


def check_mirror(value: str) -> str:
    if not value:
        return value
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or parts.query or parts.fragment or _UNSAFE.search(value):
        raise ValueError(
            "must be like https://mirror.example.org/path or https://user:password@mirror.example.org/path, with "
            "special characters of the password percent-encoded, without query or fragment"
        )
    if any(_UNSAFE.search(unquote(part)) for part in (parts.username or "", parts.password or "")):
        raise ValueError("the user or password has a character that no package manager's configuration can hold")
    return value


def check_public_mirror(value: str) -> str:
    check_mirror(value)
    if not value or parse_mirror(value).has_login:
        raise ValueError("must be like http://mirror.example.org/path, without user and password: images keep it")
    return value


def check_host_port(pattern: str) -> None:
    if not _HOST_PORT.fullmatch(pattern.lower()):
        raise ValueError("must be host:port patterns, separated by commas, such as files.example.org:443")


def check_certificates(path: str) -> None:
    try:
        read_certificates(path)
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}; it must be a file of certificates in PEM") from None


def read_certificates(path: str) -> str:
    """Raises OSError; ValueError if it is no file of certificates."""
    content = Path(path).read_bytes()
    if len(content) > MAX_CA_BYTES:
        raise ValueError(f"has {len(content):,} bytes; at most {MAX_CA_BYTES:,} are allowed")
    text = content.decode("ascii", "replace")
    if _PEM not in text or "PRIVATE KEY" in text:
        raise ValueError("must be a file of certificates in PEM, without a private key")
    return text
