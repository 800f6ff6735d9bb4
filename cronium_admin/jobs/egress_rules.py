"""Parses and normalizes the egress rules of a job: a list of patterns `host:port` that its script may connect to.

The host is a name, `*.` and a name (all subdomains, not the name itself), or an address; the port is a number or
`*`.
"""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from django.core.exceptions import ValidationError

MAX_EGRESS = 100
_MAX_PROBLEMS = 5  # errors reported for one list
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BRACKETS = re.compile(r"\[([^\[\]]*)\](.*)", re.DOTALL)
_NAT64 = IPv6Network("64:ff9b::/96")
_CLOUD_SERVICE = IPv4Address("168.63.129.16")  # a public address that Azure uses as a service for its virtual machines


def validate_egress(value: Any) -> None:
    normalize_egress(value)


def normalize_egress(value: Any) -> list[str]:
    """Raises ValidationError with the error of each invalid pattern."""
    if not isinstance(value, list) or not all(isinstance(pattern, str) for pattern in value):
        raise ValidationError('Must be a list such as ["api.example.com:443"].', code="type")
    if len(value) > MAX_EGRESS:
        raise ValidationError(f"{len(value)} patterns; at most {MAX_EGRESS} are allowed.", code="too_many")
    normal: dict[str, None] = {}
    problems: list[str] = []
    for text in value:
        try:
            pattern = normalize_pattern(text)
        except ValidationError as error:
            problems += error.messages
            continue
        if pattern in normal:
            problems.append(f"{pattern} is listed twice. Remove one of them.")
        normal[pattern] = None
    if problems:
        further = [f"And {len(problems) - _MAX_PROBLEMS} more."] if len(problems) > _MAX_PROBLEMS else []
        raise ValidationError([ValidationError(text, code="pattern") for text in problems[:_MAX_PROBLEMS] + further])
    return list(normal)


def intersect_patterns(patterns: list[str], others: list[str]) -> list[str]:
    """The patterns that match what both lists match. Both lists must be normalized."""
    shared = {_intersect_pair(pattern, other) for pattern in patterns for other in others}
    return sorted(shared - {""})


def _intersect_pair(pattern: str, other: str) -> str:
    (host, _, port), (other_host, _, other_port) = pattern.rpartition(":"), other.rpartition(":")
    if "*" not in (port, other_port) and port != other_port:
        return ""
    if host == other_host or (other_host.startswith("*.") and host.endswith(other_host[1:])):
        narrow = host
    elif host.startswith("*.") and other_host.endswith(host[1:]):
        narrow = other_host
    else:
        return ""
    return f"{narrow}:{other_port if port == '*' else port}"


def normalize_pattern(text: str) -> str:
    quoted = repr(text.strip()[:80])
    try:
        host, port = _split_pattern(text.strip().lower())
        return f"{_normalize_host(host)}:{_normalize_port(port, host)}"
    except ValueError as error:
        raise ValidationError(f"{quoted}: {error}", code="pattern") from None


def _split_pattern(text: str) -> tuple[str, str]:
    if "://" in text or "/" in text:
        raise ValueError("Use only host and port, without scheme and path, such as example.com:443.")
    if brackets := _BRACKETS.fullmatch(text):
        host, suffix = f"[{brackets[1]}]", brackets[2]
        if suffix and not suffix.startswith(":"):
            raise ValueError("Add a colon and the port after the brackets, such as [2606:4700::1111]:443.")
        return host, suffix[1:]
    if text.count(":") > 1:
        raise ValueError("Put an IPv6 address in brackets, such as [2606:4700::1111]:443.")
    host, _, port = text.partition(":")
    return host, port


def _normalize_port(text: str, host: str) -> str:
    if text == "*":
        return text
    if not text:
        raise ValueError(f"The port is missing: use {host[:80]}:443, or {host[:80]}:* for all ports.")
    if not (text.isascii() and text.isdecimal()) or len(text) > 5 or not 1 <= int(text) <= 65_535:
        raise ValueError("The port must be a number from 1 to 65535, or * for all ports.")
    return str(int(text))


def _normalize_host(text: str) -> str:
    if not text:
        raise ValueError("The host is missing: use a pattern such as example.com:443.")
    if text == "*":
        raise ValueError(
            "* alone would match every host. List the hosts; *.example.com matches all subdomains of example.com."
        )
    if text.startswith("["):
        return f"[{_normalize_address(text[1:-1], 6)}]"
    name = text[2:] if text.startswith("*.") else text
    name = name.removesuffix(".")
    _check_name(name, text.startswith("*."))
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        if text.startswith("*."):
            raise ValueError("* can precede a name, but not an address.")
        return _normalize_address(name, 4)
    return f"*.{name}" if text.startswith("*.") else name


def _check_name(name: str, below: bool) -> None:
    if not name.isascii():
        raise ValueError("Write the name in its ASCII form, with labels that begin with xn--, as in DNS.")
    if "*" in name:
        raise ValueError("* is allowed only as the whole first label, such as *.example.com.")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(
            "Not a host name: use letters, digits, '-' and '_' in labels of 1 to 63 characters, separated by dots."
        )
    if below and len(labels) < 2:
        raise ValueError("This would match a whole top-level domain. Use a longer name, such as *.example.com.")
    if labels[-1] == "localhost":
        raise ValueError("localhost is the machine itself; only public addresses are allowed.")


def _normalize_address(text: str, version: int) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version or "%" in text:
        example = "8.8.8.8 (four numbers from 0 to 255)" if version == 4 else "[2606:4700::1111]"
        raise ValueError(f"Not an IPv{version} address; an example is {example}.")
    if kind := _describe_reserved_range(address):
        raise ValueError(f"This is {kind}; only public addresses are allowed.")
    return str(address)


def _describe_reserved_range(address: IPv4Address | IPv6Address) -> str:
    # Why the address is not public; empty if it is. Also checks an IPv4 address embedded in an IPv6 address.
    if isinstance(address, IPv6Address) and (inner := _extract_ipv4(address)):
        return _describe_reserved_range(inner)
    kinds = {
        "the unspecified address": address.is_unspecified,
        "the machine itself (loopback)": address.is_loopback,
        "a link-local address, such as a cloud's metadata service": address.is_link_local,
        "a cloud provider's service for its virtual machines": address == _CLOUD_SERVICE,
        "a multicast address": address.is_multicast,
        "a private or reserved address": not address.is_global
        or address.is_reserved
        or (isinstance(address, IPv6Address) and address.is_site_local),
    }
    return next((kind for kind, applies in kinds.items() if applies), "")


def _extract_ipv4(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
