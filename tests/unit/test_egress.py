"""The patterns of the network egress: accepted patterns, their stored form, and the errors of the others."""

import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from cronium_admin.jobs.egress_rules import MAX_EGRESS, normalize_egress, normalize_pattern, validate_egress

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "images" / "runtime-api"))

from sidecar.destinations import AllowList, find_refusal_reason, parse_destination

TAKEN = [
    ("example.com:443", "example.com:443"),
    (" API.Example.COM:0443 ", "api.example.com:443"),
    ("example.com.:443", "example.com:443"),
    ("example.com:*", "example.com:*"),
    ("example.com:1", "example.com:1"),
    ("example.com:65535", "example.com:65535"),
    ("*.example.com:443", "*.example.com:443"),
    ("*.S3.example.com:*", "*.s3.example.com:*"),
    ("my_bucket.example.com:443", "my_bucket.example.com:443"),
    ("xn--bcher-kva.example:443", "xn--bcher-kva.example:443"),
    ("3com.com:80", "3com.com:80"),
    ("registry:5000", "registry:5000"),
    ("8.8.8.8:53", "8.8.8.8:53"),
    ("[2606:4700:0:0::1111]:443", "[2606:4700::1111]:443"),
    ("[2606:4700::ABCD]:*", "[2606:4700::abcd]:*"),
]
REFUSED = [
    ("", "The host is missing"),
    (":443", "The host is missing"),
    ("example.com", "The port is missing: use example.com:443"),
    ("example.com:", "The port is missing"),
    ("8.8.8.8", "The port is missing"),
    ("[2606:4700::1111]", "The port is missing: use [2606:4700::1111]:443"),
    ("example.com:0", "1 to 65535"),
    ("example.com:65536", "1 to 65535"),
    ("example.com:-1", "1 to 65535"),
    ("example.com:+1", "1 to 65535"),
    ("example.com:4 43", "1 to 65535"),
    ("example.com:https", "1 to 65535"),
    ("example.com:٤", "1 to 65535"),
    ("example.com:²", "1 to 65535"),
    ("https://example.com", "without scheme"),
    ("example.com:443/path", "without scheme and path"),
    ("10.0.0.0/8:443", "without scheme and path"),
    ("user@example.com:443", "Not a host name"),
    ("exa mple.com:443", "Not a host name"),
    ("example.com\r\nhost:443", "Not a host name"),
    ("example\x00.com:443", "Not a host name"),
    ("-a.example.com:443", "Not a host name"),
    ("a..example.com:443", "Not a host name"),
    (f"{'a' * 64}.com:443", "Not a host name"),
    (f"{'a.' * 130}com:443", "Not a host name"),
    ("bücher.example:443", "xn--"),
    ("*:443", "every host"),
    ("*:*", "every host"),
    ("*.:443", "Not a host name"),
    ("*.com:443", "top-level domain"),
    ("*.com.:443", "top-level domain"),
    ("*.*.example.com:443", "only as the whole first label"),
    ("api.*.com:443", "only as the whole first label"),
    ("a*.example.com:443", "only as the whole first label"),
    ("*.8.8.8.8:443", "but not an address"),
    ("localhost:80", "localhost is the machine itself"),
    ("LOCALHOST.:80", "localhost is the machine itself"),
    ("x.localhost:80", "localhost is the machine itself"),
    ("127.0.0.1:80", "loopback"),
    ("0.0.0.0:80", "unspecified address"),
    ("10.1.2.3:80", "private"),
    ("172.31.0.1:80", "private"),
    ("192.168.0.1:80", "private"),
    ("100.64.0.1:80", "private"),
    ("169.254.169.254:80", "link-local"),
    ("224.0.0.1:80", "multicast"),
    ("255.255.255.255:80", "private or reserved"),
    ("168.63.129.16:80", "a cloud provider's service"),
    ("127.1:80", "Not an IPv4"),
    ("2130706433:80", "Not an IPv4"),
    ("0x7f000001:80", "Not an IPv4"),
    ("0177.0.0.1:80", "Not an IPv4"),
    ("1.2.3.256:80", "Not an IPv4"),
    ("::1:80", "in brackets"),
    ("2606:4700::1111:443", "in brackets"),
    ("[::1]:80", "loopback"),
    ("[::]:80", "unspecified address"),
    ("[fe80::1]:80", "link-local"),
    ("[fe80::1%eth0]:80", "Not an IPv6"),
    ("[2606:4700::1%eth0]:80", "Not an IPv6"),
    ("[fd00::1]:80", "private"),
    ("[ff02::1]:80", "multicast"),
    ("[::ffff:10.0.0.1]:80", "private"),
    ("[::ffff:169.254.169.254]:80", "link-local"),
    ("[64:ff9b::7f00:1]:80", "loopback"),
    ("[2002:0a00:0001::]:80", "private"),
    ("[8.8.8.8]:80", "Not an IPv6"),
    ("[example.com]:80", "Not an IPv6"),
    ("[2606:4700::1111]443", "after the brackets"),
    ("[2606:4700::1111:443", "in brackets"),
]


@pytest.mark.parametrize(("typed", "kept"), TAKEN)
def test_a_pattern_is_kept_in_one_spelling(typed: str, kept: str) -> None:
    assert normalize_pattern(typed) == kept
    assert normalize_pattern(kept) == kept


@pytest.mark.parametrize(("typed", "why"), REFUSED)
def test_what_is_refused_is_shown_with_its_reason(typed: str, why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        normalize_pattern(typed)
    [text] = caught.value.messages
    assert why in text
    assert text.startswith(repr(typed.strip()[:80]))
    assert len(text) < 400


def test_one_host_in_two_spellings_is_there_twice() -> None:
    with pytest.raises(ValidationError, match="is listed twice"):
        normalize_egress(["example.com:443", "EXAMPLE.com.:0443"])
    assert normalize_egress(["example.com:443", "example.com:*", "*.example.com:443"]) == [
        *("example.com:443", "example.com:*", "*.example.com:443")
    ]


def test_a_list_names_all_its_mistakes_and_says_when_there_are_more() -> None:
    with pytest.raises(ValidationError) as caught:
        normalize_egress(["good.example:443", "one", "*:443", "10.0.0.1:80"])
    assert [text.split(":")[0] for text in caught.value.messages] == ["'one'", "'*", "'10.0.0.1"]
    with pytest.raises(ValidationError) as caught:
        normalize_egress(["bad"] * 9)
    assert (len(caught.value.messages), caught.value.messages[-1]) == (6, "And 4 more.")


@pytest.mark.parametrize("value", [None, "example.com:443", {"example.com": 443}, [443], [None]])
def test_only_a_list_of_texts_is_one(value: object) -> None:
    with pytest.raises(ValidationError, match="Must be a list"):
        validate_egress(value)


def test_the_list_has_an_end() -> None:
    many = [f"host{number}.example:443" for number in range(MAX_EGRESS + 1)]
    assert normalize_egress(many[:-1]) == many[:-1]
    with pytest.raises(ValidationError, match=f"at most {MAX_EGRESS}"):
        normalize_egress(many)


@pytest.mark.parametrize("kept", [kept for _, kept in TAKEN])
def test_the_proxy_knows_what_is_kept(kept: str) -> None:
    """The proxy accepts the stored form and allows the same destinations."""
    host, _, port = kept.rpartition(":")
    wanted = parse_destination(f"{host.replace('*', 'a.b')}:{port.replace('*', '9')}")
    assert AllowList([kept]).is_allowed(wanted)
    assert not AllowList([kept]).is_allowed(parse_destination("other.invalid:9"))


ADDRESSES = [
    *["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700::1111", "2a00:1450::1", "0.0.0.0", "10.0.0.1", "100.64.0.1"],
    *["100.100.100.200", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.0.1", "198.18.0.1", "224.0.0.1"],
    *["203.0.113.9", "240.0.0.1", "255.255.255.255", "168.63.129.16", "::", "::1", "fe80::1", "fec0::1", "fd00::1"],
    *["ff0e::1", "2001:db8::1", "::ffff:8.8.8.8", "::ffff:10.0.0.1", "64:ff9b::808:808", "64:ff9b::a9fe:a9fe"],
    *["2002:808:808::1", "2002:a00:1::1"],
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_refused_here_when_the_proxy_would_refuse_it(address: str) -> None:
    try:
        normalize_pattern(f"[{address}]:443" if ":" in address else f"{address}:443")
        taken = True
    except ValidationError:
        taken = False
    assert taken == (not find_refusal_reason(ip_address(address)))
