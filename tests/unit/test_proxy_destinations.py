"""The destinations that a pattern allows, and the addresses that are always refused: tables, no network."""

import sys
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "images" / "runtime-api"))

from sidecar.destinations import AllowList, find_refusal_reason, parse_destination


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("api.example.com:443", "api.example.com:443"),
        ("api.example.com:443", "API.Example.COM.:443"),
        ("API.example.com.:443", "api.example.com:443"),
        ("*.example.com:443", "api.example.com:443"),
        ("*.example.com:443", "a.b.example.com:443"),
        ("api.example.com:*", "api.example.com:1"),
        ("api.example.com:*", "api.example.com:65535"),
        ("my_host.example:80", "my_host.example:80"),
        ("93.184.215.14:80", "93.184.215.14:80"),
        ("[2606:4700::1111]:443", "[2606:4700:0:0::1111]:443"),
    ],
)
def test_what_a_pattern_allows(pattern: str, wanted: str) -> None:
    assert AllowList([pattern]).is_allowed(parse_destination(wanted))


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("api.example.com:443", "api.example.com:80"),
        ("api.example.com:443", "api.example.com:4430"),
        ("api.example.com:443", "x.api.example.com:443"),
        ("api.example.com:443", "api.example.com.evil.net:443"),
        ("api.example.com:443", "apixexample.com:443"),
        ("*.example.com:443", "example.com:443"),
        ("*.example.com:443", "notexample.com:443"),
        ("*.example.com:443", "api.example.com.evil.net:443"),
        ("*.example.com:443", "93.184.215.14:443"),
        ("*.0.0.1:80", "127.0.0.1:80"),
        ("93.184.215.14:80", "93.184.215.15:80"),
        ("93.184.215.14:80", "[::ffff:93.184.215.14]:80"),
        ("[2606:4700::1111]:443", "[2606:4700::1112]:443"),
    ],
)
def test_what_a_pattern_does_not_allow(pattern: str, wanted: str) -> None:
    assert not AllowList([pattern]).is_allowed(parse_destination(wanted))


def test_no_pattern_allows_nothing_and_one_of_several_is_enough() -> None:
    wanted = parse_destination("b.example:80")
    assert not AllowList([]).is_allowed(wanted)
    assert AllowList(["a.example:80", "b.example:80"]).is_allowed(wanted)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":443", "example.com", "example.com:", "example.com:0", "example.com:65536", "example.com:99999"),
        *("exa mple.com:80", "example.com:80:80", "user@example.com:80", "user:pw@example.com:80", "-x.com:80"),
        *("example.com:80/x", "::1:80", "[::1:80", "[zz]:80", "[fe80::1%eth0]:80", "exämple.com:80", "a\x00b:80"),
        *("*.example.com:80", "example.com:٤٤٣", ".example.com:80"),
    ],
)
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        parse_destination(text)


@pytest.mark.parametrize("text", ["", "example.com", "*:443", "*.:1", "a.*.com:443", "example.com:x", "2606::1:443"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        AllowList([text])


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "carrier"),
        ("100.127.255.255", "carrier"),
        ("127.0.0.1", "loopback"),
        ("127.8.9.1", "loopback"),
        ("169.254.169.254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("169.254.0.1", "link-local"),
        ("192.0.0.8", "reserved"),
        ("192.0.2.1", "reserved"),
        ("198.18.0.1", "reserved"),
        ("198.51.100.1", "reserved"),
        ("203.0.113.9", "reserved"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::2", "reserved"),
        ("::10.0.0.1", "reserved"),  # the deprecated form of an IPv4 address in IPv6
        ("fe80::1", "link-local"),
        ("fec0::1", "link-local"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),
        ("ff02::1", "multicast"),
        ("2001:db8::1", "reserved"),
        ("2001::1", "reserved"),  # Teredo
        ("3fff::1", "reserved"),
        ("4000::1", "reserved"),
        ("100::1", "reserved"),
        ("64:ff9b:1::1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::10.0.0.1", "private"),
        ("2002:7f00:1::", "loopback"),
        ("2002:c0a8:101::1", "private"),
    ],
)
def test_whom_nobody_is_let_out_to(address: str, why: str) -> None:
    assert why in find_refusal_reason(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "11.22.33.44", "93.184.215.14", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1"),
        *("126.255.255.255", "128.0.0.1", "223.255.255.255", "192.0.1.1", "2606:4700::1111", "2a00:1450::1"),
        *("::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::"),
    ],
)
def test_who_is_public(address: str) -> None:
    assert find_refusal_reason(ip_address(address)) == ""


def test_the_runs_own_networks_are_refused_whatever_they_are() -> None:
    own = [IPv4Network("11.22.33.40/29"), IPv4Network("10.213.0.8/29")]
    assert find_refusal_reason(ip_address("11.22.33.44"), own) == "the run's own network"
    assert find_refusal_reason(ip_address("::ffff:11.22.33.44"), own) == "the run's own network"
    assert find_refusal_reason(ip_address("11.22.33.48"), own) == ""


@pytest.mark.parametrize("address", ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1"])
def test_builds_reach_mirrors_at_private_addresses(address: str) -> None:
    assert find_refusal_reason(ip_address(address), allow_private=True) == ""
    own = [IPv4Network(f"{address}/32")]
    assert find_refusal_reason(ip_address(address), own, allow_private=True) == "the run's own network"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "169.254.169.254", "169.254.1.1", "0.0.0.0", "224.0.0.1", "100.100.100.200", "192.0.0.192"),
        *("203.0.113.1", "::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"),
    ],
)
def test_builds_reach_no_other_special_address(address: str) -> None:
    assert find_refusal_reason(ip_address(address), allow_private=True)
