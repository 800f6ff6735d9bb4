"""Detects a proxy that sends X-Forwarded-For and is not trusted: all users behind it share its address."""

import logging
import time
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin

from cronium_admin.core.database.clock import Now
from cronium_admin.core.database.outage import outage_log
from cronium_admin.workers.hosts.models import Installation

log = logging.getLogger("cronium.access")
NOTE_INTERVAL = timedelta(hours=1)
_noted_at: float | None = None


def find_untrusted_proxy(request: HttpRequest) -> str:
    """The peer's address if it sent X-Forwarded-For and is not trusted; else empty."""
    if "X-Forwarded-For" not in request.headers:
        return ""
    peer = _get_peer_address(request)
    try:
        address = ip_address(peer)
    except ValueError:  # a Unix socket has no address
        return ""
    return "" if any(address in ip_network(part) for part in settings.CONFIG.trusted_proxies) else peer


def _get_peer_address(request: HttpRequest) -> str:
    # REMOTE_ADDR may come from a trusted proxy's header.
    scope: dict[str, Any] = getattr(request, "scope", {})
    if connection := scope.get("state", {}).get("connection"):
        name = connection.transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else ""
    return str(request.META.get("REMOTE_ADDR", ""))


class NoteUntrustedProxy(MiddlewareMixin):
    """Records at most once an hour, because any client can send the header."""

    def process_request(self, request: HttpRequest) -> None:
        global _noted_at
        now = time.monotonic()
        if _noted_at is not None and now - _noted_at < NOTE_INTERVAL.total_seconds():
            return
        if not (peer := find_untrusted_proxy(request)):
            return
        _noted_at = now
        log.warning(
            "X-Forwarded-For came from %s, which is not in CRONIUM_TRUSTED_PROXIES, and was ignored. If this is your "
            "proxy, set CRONIUM_TRUSTED_PROXIES=%s: until then all users behind it share its address, and a few wrong "
            "passwords delay the sign-in of all. Otherwise a client sent the header: ignore this line.",
            peer,
            peer,
        )
        with outage_log.tolerate("recording an untrusted proxy"):
            Installation.objects.filter(pk=1).update(untrusted_proxy=peer, untrusted_proxy_at=Now())
