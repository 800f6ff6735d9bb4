"""Middleware for every request: responses are not cached, probes may use any host name, paths contain no NUL."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

PROBES = frozenset({"/health", "/ready", "/api/v1/health", "/api/v1/ready"})


class CommonHeaders(MiddlewareMixin):
    """Must stand before the middleware that reads the host."""

    def process_request(self, request: HttpRequest) -> None:
        if request.path_info in PROBES:
            # Probes use an address as host. These responses do not depend on the host.
            request.META["HTTP_HOST"] = "localhost"
        # No name contains a NUL, and PostgreSQL refuses queries with one; a query with U+FFFD finds nothing.
        request.path_info = request.path_info.replace("\0", "\ufffd")

    def process_response(self, request: HttpRequest, response: Any) -> HttpResponseBase:
        if not request.path_info.startswith(settings.STATIC_URL) or response.status_code >= 400:
            response.headers.setdefault("Cache-Control", "no-store")
        return response  # type: ignore[no-any-return]
