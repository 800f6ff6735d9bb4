"""Decides which hosts, ports and addresses a run may connect to. Pure functions without network access."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
NAME = r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?"
AUTHORITY = re.compile(rf"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>{NAME})\.?)(?::(?P<port>[0-9]{{1,5}}))?")
PATTERN = re.compile(rf"(?P<host>\[[0-9a-f:.]+\]|(?:\*\.)?{NAME})\.?:(?P<port>[0-9]{{1,5}}|\*)")

# Refused ranges with their reason; the first match counts. From the IANA registries of special-purpose addresses, plus
# one public address that a cloud provider uses for its own services.
REFUSED_V4 = [
    ("metadata address", "169.254.169.254/32", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"),
    ("unspecified address", "0.0.0.0/8"),
    ("private address", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    ("carrier's private address", "100.64.0.0/10"),
    ("loopback address", "127.0.0.0/8"),
    ("link-local address", "169.254.0.0/16"),
    ("multicast address", "224.0.0.0/4"),
    ("reserved address", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15"),
    ("reserved address", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"),
]
PRIVATE = ("private address", "carrier's private address")
REFUSED_V6 = [
    ("unspecified address", "::/128"),
    ("loopback address", "::1/128"),
    ("private address", "fc00::/7"),
    ("link-local address", "fe80::/10", "fec0::/10"),
    ("multicast address", "ff00::/8"),
    ("reserved address", "2001::/23", "2001:db8::/32", "3fff::/20"),
]
V4 = [(reason, IPv4Network(text)) for reason, *texts in REFUSED_V4 for text in texts]
V6 = [(reason, IPv6Network(text)) for reason, *texts in REFUSED_V6 for text in texts]
UNICAST_V6 = IPv6Network("2000::/3")  # the rest of IPv6 is not assigned
# IPv6 networks whose addresses contain an IPv4 address, with its bit offset.
EMBEDDED_V4 = [
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
]


@dataclass(frozen=True)
class Destination:
    """`host` is a name in lower case or an address."""

    host: str | Address
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else self.host
        return f"{host}:{self.port}"


def parse_destination(authority: str, port: int | None = None) -> Destination:
    """Parses `host:port`; `port` is the default. Raises ValueError with a message for the job."""
    match = AUTHORITY.fullmatch(authority.lower())
    number = int(match["port"]) if match and match["port"] else port
    if match is None or number is None or not 0 < number < 65536 or len(authority) > 300:
        raise ValueError("The destination must be host:port.")
    return Destination(IPv6Address(match["v6"]) if match["v6"] else _parse_host(match["name"]), number)


def _parse_host(text: str) -> str | IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        return text


class AllowList:
    """The destination patterns of one run."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules: list[tuple[str | Address, str]] = [self._parse_pattern(pattern) for pattern in patterns]

    @staticmethod
    def _parse_pattern(pattern: str) -> tuple[str | Address, str]:
        """Raises ValueError unless the pattern is `host:port`."""
        match = PATTERN.fullmatch(pattern.lower())
        if match is None:
            raise ValueError(f"{pattern[:100]!r} is not host:port, for example api.example.com:443 or *.example.com:*")
        host = match["host"]
        return ip_address(host.strip("[]")) if host[0] == "[" else _parse_host(host), match["port"]

    def is_allowed(self, destination: Destination) -> bool:
        """True if a pattern matches. `*.` matches one or more labels of a name, and no address."""
        port = str(destination.port)
        return any(
            self._matches_host(allowed, destination.host) and allowed_port in ("*", port)
            for allowed, allowed_port in self._rules
        )

    @staticmethod
    def _matches_host(allowed: str | Address, host: str | Address) -> bool:
        if isinstance(allowed, str) and isinstance(host, str) and allowed.startswith("*."):
            return host.endswith(allowed[1:])
        return allowed == host


def find_refusal_reason(
    address: Address, run_networks: Iterable[IPv4Network] = (), *, allow_private: bool = False
) -> str:
    """Returns the reason why no run may connect to `address`, or an empty string for a public address.

    With `allow_private`, private IPv4 addresses are allowed too, except those of the run's own networks.
    """
    if isinstance(address, IPv6Address):
        return _find_refusal_reason_v6(address, run_networks)
    if any(address in network for network in run_networks):
        return "the run's own network"
    reason = next((reason for reason, network in V4 if address in network), "")
    return "" if allow_private and reason in PRIVATE else reason


def _find_refusal_reason_v6(address: IPv6Address, run_networks: Iterable[IPv4Network]) -> str:
    for network, shift in EMBEDDED_V4:
        if address in network:
            return find_refusal_reason(IPv4Address(int(address) >> shift & 0xFFFFFFFF), run_networks)
    reason = next((reason for reason, network in V6 if address in network), "")
    return reason or ("" if address in UNICAST_V6 else "reserved address")
