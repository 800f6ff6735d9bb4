"""What a job with the network `egress` may reach: a list of patterns `host:port`, each in one spelling.

The host is a name, `*.` and a name (every name below it, not itself), or an address; the port a number or `*`.
"""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from django.core.exceptions import ValidationError

MAX_EGRESS = 100
_MAX_PROBLEMS = 5  # mistakes of one list that are told at once
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BRACKETS = re.compile(r"\[([^\[\]]*)\](.*)", re.DOTALL)
_NAT64 = IPv6Network("64:ff9b::/96")
_CLOUD_SERVICE = IPv4Address("168.63.129.16")  # public by its number, and a cloud's own service for its machines


def validate_egress(value: Any) -> None:
    """`value` must be a list of different patterns `host:port`."""
    normalize_egress(value)


def normalize_egress(value: Any) -> list[str]:
    """The list with each pattern in its one spelling. ValidationError names every pattern that is wrong."""
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
            problems.append(f"{pattern} is there twice. Keep one of the two.")
        normal[pattern] = None
    if problems:
        more = [f"And {len(problems) - _MAX_PROBLEMS} more."] if len(problems) > _MAX_PROBLEMS else []
        raise ValidationError([ValidationError(text, code="pattern") for text in problems[:_MAX_PROBLEMS] + more])
    return list(normal)


def intersect_patterns(patterns: list[str], others: list[str]) -> list[str]:
    """What both lists (in their one spelling) let through: of two patterns that overlap, the narrower one."""
    found = {_intersect_pair(one, other) for one in patterns for other in others}
    return sorted(found - {""})


def _intersect_pair(one: str, other: str) -> str:
    """What both patterns match, as one pattern; empty when that is nothing."""
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
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
    """One pattern in its one spelling: lower case, addresses and ports without what changes nothing."""
    shown = repr(text.strip()[:80])
    try:
        host, port = _split_pattern(text.strip().lower())
        return f"{_normalize_host(host)}:{_normalize_port(port, host)}"
    except ValueError as error:
        raise ValidationError(f"{shown}: {error}", code="pattern") from None


def _split_pattern(text: str) -> tuple[str, str]:
    """Host, in brackets if it had them, and port; ValueError when a part is missing or there is more."""
    if "://" in text or "/" in text:
        raise ValueError("Write host and port without scheme and path, such as example.com:443.")
    if brackets := _BRACKETS.fullmatch(text):
        host, rest = f"[{brackets[1]}]", brackets[2]
        if rest and not rest.startswith(":"):
            raise ValueError("After the brackets comes a colon and the port, such as [2606:4700::1111]:443.")
        return host, rest[1:]
    if text.count(":") > 1:
        raise ValueError("An IPv6 address stands in brackets, such as [2606:4700::1111]:443.")
    host, _, port = text.partition(":")
    return host, port


def _normalize_port(text: str, host: str) -> str:
    if text == "*":
        return text
    if not text:
        raise ValueError(f"Say the port too: {host[:80]}:443, or {host[:80]}:* for all ports.")
    if not (text.isascii() and text.isdecimal()) or len(text) > 5 or not 1 <= int(text) <= 65_535:
        raise ValueError("The port is a number from 1 to 65535, or * for all ports.")
    return str(int(text))


def _normalize_host(text: str) -> str:
    if not text:
        raise ValueError("Say the host too, such as example.com:443.")
    if text == "*":
        raise ValueError("* alone would be every host. Name the hosts; *.example.com is every name below example.com.")
    if text.startswith("["):
        return f"[{_normalize_address(text[1:-1], 6)}]"
    name = text[2:] if text.startswith("*.") else text
    name = name.removesuffix(".")
    _check_name(name, text.startswith("*."))
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        if text.startswith("*."):
            raise ValueError("* stands before a name, not before an address.")
        return _normalize_address(name, 4)
    return f"*.{name}" if text.startswith("*.") else name


def _check_name(name: str, below: bool) -> None:
    if not name.isascii():
        raise ValueError("Write the name in its ASCII form, whose labels begin with xn--, as DNS knows it.")
    if "*" in name:
        raise ValueError("* stands for whole labels at the beginning only, such as *.example.com.")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("Not a host name: letters, digits, '-' and '_' in labels of 1 to 63, with dots between them.")
    if below and len(labels) < 2:
        raise ValueError("That would be a whole top-level domain. Name more, such as *.example.com.")
    if labels[-1] == "localhost":
        raise ValueError("localhost is the machine itself; a script may be let out to public addresses only.")


def _normalize_address(text: str, version: int) -> str:
    """A literal address in its usual spelling, if a script may be let out to it."""
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version or "%" in text:
        like = "8.8.8.8, four numbers from 0 to 255" if version == 4 else "[2606:4700::1111]"
        raise ValueError(f"Not an IPv{version} address, which looks like {like}.")
    if kind := _describe_reserved_range(address):
        raise ValueError(f"This is {kind}; a script may be let out to public addresses only.")
    return str(address)


def _describe_reserved_range(address: IPv4Address | IPv6Address) -> str:
    """What keeps an address from being public, in words; empty when it is. Looks into IPv6 that carries IPv4."""
    if isinstance(address, IPv6Address) and (inner := _extract_ipv4(address)):
        return _describe_reserved_range(inner)
    kinds = {
        "the address of no machine": address.is_unspecified,
        "the machine itself (loopback)": address.is_loopback,
        "a link-local address, such as a cloud's metadata service": address.is_link_local,
        "a cloud's service for its own machines": address == _CLOUD_SERVICE,
        "a multicast address": address.is_multicast,
        "a private or reserved address": not address.is_global
        or address.is_reserved
        or (isinstance(address, IPv6Address) and address.is_site_local),
    }
    return next((kind for kind, applies in kinds.items() if applies), "")


def _extract_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that traffic to this IPv6 address would end at."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
