"""Refuses requests by their first bytes, before they use a transport, a parser, a task or a thread."""

import time
from collections.abc import Container
from functools import lru_cache
from ipaddress import IPv6Address, ip_network

from cachetools import LRUCache

from cronium_admin.web.edge.credentials import CredentialCache
from cronium_admin.web.edge.gate import FairSemaphore

_PROBES = (b"GET /health", b"HEAD /health", b"GET /api/v1/health", b"HEAD /api/v1/health")
_SOCKETS = b"GET /ws/"
_FOLLOW = b"/logs/follow"
# Rates of one client, per second and burst: WebSocket handshakes without a valid credential, lookups of credentials,
# and new log streams of an authenticated client.
HANDSHAKES, LOOKUPS, STREAMS = (5.0, 20), (20.0, 40), (20.0, 100)
MAX_CLIENTS = 4096


@lru_cache(MAX_CLIENTS)
def get_client_key(address: str) -> str:
    # A subscriber can choose addresses in its IPv6 /64 network, so the network is the key.
    try:
        parsed = IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))


class RateLimit:
    """A token bucket per client: `per_second` tokens, at most `burst`."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second, self._burst = per_second, burst
        self._left: LRUCache[str, tuple[float, float]] = LRUCache(MAX_CLIENTS)  # tokens, and when they were counted

    def try_acquire(self, client: str) -> bool:
        now = time.monotonic()
        tokens, counted_at = self._left.get(client, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - counted_at) * self._per_second)
        self._left[client] = (tokens - 1 if tokens >= 1 else tokens), now
        return tokens >= 1


class Guard:
    """`strangers` is the queue of requests without a valid credential. For `proxies` the client's address is in
    X-Forwarded-For."""

    def __init__(self, strangers: FairSemaphore, credentials: CredentialCache, proxies: Container[str] = ()) -> None:
        self._anonymous_gate, self._credentials, self._proxies = strangers, credentials, proxies
        self._handshakes, self._lookups = RateLimit(*HANDSHAKES), RateLimit(*LOOKUPS)
        self._streams = RateLimit(*STREAMS)

    def find_credential_id(self, data: bytes) -> str:
        """The id of the valid credential in the request that begins with `data`; empty if not cached as valid."""
        head, terminator, _ = data.partition(b"\r\n\r\n")
        return self._credentials.get_cached_id(_parse_headers(head)) if terminator else ""

    def is_refused(self, data: bytes, address: str) -> bool:
        """Whether the request that begins with `data` gets a 503. A request with an incomplete head may pass."""
        is_proxied = address in self._proxies
        is_socket = data.startswith(_SOCKETS)
        is_stream = is_socket or _FOLLOW in data.partition(b"\r\n")[0]
        if not is_proxied and not is_stream and self._anonymous_gate.has_room(get_client_key(address)):
            return False
        head, terminator, _ = data.partition(b"\r\n\r\n")
        if not terminator or head.startswith(_PROBES):
            return False
        headers = _parse_headers(head)
        if is_stream and (member := self._credentials.get_cached_id(headers)):
            return not self._streams.try_acquire(member)
        if is_proxied:
            address = headers.get(b"x-forwarded-for", b"").rpartition(b",")[2].strip().decode("latin-1") or address
        client = get_client_key(address)
        has_room = self._handshakes.try_acquire(client) if is_socket else self._anonymous_gate.has_room(client)
        if has_room:
            return False
        is_valid = self._credentials.get_cached_validity(headers)
        return not (self._lookups.try_acquire(client) if is_valid is None else is_valid)


def _parse_headers(head: bytes) -> dict[bytes, bytes]:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}
