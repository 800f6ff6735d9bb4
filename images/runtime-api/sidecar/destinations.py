"""Pure: which hosts and ports a run may be let out to, and which addresses nobody is. Resolves and connects nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
NAME = r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?"
AUTHORITY = re.compile(rf"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>{NAME})\.?)(?::(?P<port>[0-9]{{1,5}}))?")
PATTERN = re.compile(rf"(?P<host>\[[0-9a-f:.]+\]|(?:\*\.)?{NAME})\.?:(?P<port>[0-9]{{1,5}}|\*)")

# Special ranges by what to tell of them, the first that fits: the registries of special-purpose addresses, and the one
# public address that a cloud keeps for its own machines.
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
REFUSED_V6 = [
    ("unspecified address", "::/128"),
    ("loopback address", "::1/128"),
    ("private address", "fc00::/7"),
    ("link-local address", "fe80::/10", "fec0::/10"),
    ("multicast address", "ff00::/8"),
    ("reserved address", "2001::/23", "2001:db8::/32", "3fff::/20"),
]
V4 = [(told, IPv4Network(text)) for told, *texts in REFUSED_V4 for text in texts]
V6 = [(told, IPv6Network(text)) for told, *texts in REFUSED_V6 for text in texts]
UNICAST_V6 = IPv6Network("2000::/3")  # all else of IPv6 is nobody's yet
# Networks whose addresses hold one of IPv4, by where in the number it stands.
HOLDS_V4 = [
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
]


@dataclass(frozen=True)
class Destination:
    """Where a request wants to go: a name in lower case, or an address."""

    host: str | Address
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else self.host
        return f"{host}:{self.port}"


def parse_destination(authority: str, port: int | None = None) -> Destination:
    """`host:port` of a request; `port` is what an authority without one means. ValueError tells what is wrong."""
    found = AUTHORITY.fullmatch(authority.lower())
    number = int(found["port"]) if found and found["port"] else port
    if found is None or number is None or not 0 < number < 65536 or len(authority) > 300:
        raise ValueError("The destination must be host:port.")
    return Destination(IPv6Address(found["v6"]) if found["v6"] else _host(found["name"]), number)


def _host(text: str) -> str | IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        return text


class AllowList:
    """The patterns of one run."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules: list[tuple[str | Address, str]] = [self._parse(pattern) for pattern in patterns]

    @staticmethod
    def _parse(pattern: str) -> tuple[str | Address, str]:
        """ValueError unless it is `host:port`."""
        found = PATTERN.fullmatch(pattern.lower())
        if found is None:
            raise ValueError(f"{pattern[:100]!r} is not host:port, such as api.example.com:443 or *.example.com:*")
        host = found["host"]
        return ip_address(host.strip("[]")) if host[0] == "[" else _host(host), found["port"]

    def allows(self, wanted: Destination) -> bool:
        """Whether one pattern names it. `*.` stands for one label or more, and never for an address."""
        return any(self._fits(host, wanted.host) and port in ("*", str(wanted.port)) for host, port in self._rules)

    @staticmethod
    def _fits(allowed: str | Address, wanted: str | Address) -> bool:
        if isinstance(allowed, str) and isinstance(wanted, str) and allowed.startswith("*."):
            return wanted.endswith(allowed[1:])
        return allowed == wanted


def refusal(address: Address, own: Iterable[IPv4Network] = ()) -> str:
    """Why nobody may be let out to `address`, in words; empty for a public one. `own` are the run's networks."""
    if isinstance(address, IPv6Address):
        return _refusal_v6(address, own)
    if any(address in network for network in own):
        return "the run's own network"
    return next((told for told, network in V4 if address in network), "")


def _refusal_v6(address: IPv6Address, own: Iterable[IPv4Network]) -> str:
    for network, shift in HOLDS_V4:
        if address in network:
            return refusal(IPv4Address(int(address) >> shift & 0xFFFFFFFF), own)
    special = next((told for told, network in V6 if address in network), "")
    return special or ("" if address in UNICAST_V6 else "reserved address")
