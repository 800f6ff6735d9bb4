"""What holds for every request and answer of Django's: not stored; probes may name any host; an address has no NUL."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

PROBES = frozenset({"/health", "/ready", "/api/v1/health", "/api/v1/ready"})


class CommonHeaders(MiddlewareMixin):
    """Stands before what reads the host."""

    def process_request(self, request: HttpRequest) -> None:
        if request.path_info in PROBES:
            # Probes ask by address. These answers are the same for all, and name no host.
            request.META["HTTP_HOST"] = "localhost"
        # No name holds a NUL, and PostgreSQL refuses to look for one; U+FFFD is looked for and not found.
        request.path_info = request.path_info.replace("\0", "\ufffd")

    def process_response(self, request: HttpRequest, response: Any) -> HttpResponseBase:
        if not request.path_info.startswith(settings.STATIC_URL) or response.status_code >= 400:
            response.headers.setdefault("Cache-Control", "no-store")
        return response  # type: ignore[no-any-return]
