"""Middleware around every request: request id, access log, duration metric. Never answers a request itself."""

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from cronium_admin.core import metrics
from cronium_admin.ops.log_format import request_id

log = logging.getLogger("cronium.access")
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,63}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Monitoring systems poll these every few seconds: logged at DEBUG.
_POLLED = frozenset(f"{place}{name}" for place in ("", "api/v1/") for name in ("health", "ready", "metrics"))


def _get_request_id(request: HttpRequest) -> str:
    # With the caller's id, a proxy's log and this log can be compared.
    request_id_header = request.headers.get("X-Request-ID", "")
    return request_id_header if _REQUEST_ID.fullmatch(request_id_header) else secrets.token_hex(8)


def _get_route(request: HttpRequest) -> str:
    # The path itself would make a time series for every run.
    match = request.resolver_match
    return "/" + match.route.removeprefix("^") if match else "(none)"


def _get_user_name(request: HttpRequest) -> str:
    # The attributes are already loaded: no database query.
    client: Any = getattr(request, "auth", None) or getattr(request, "_cached_user", None)
    name = client.get_username() if hasattr(client, "get_username") else str(client or "")
    return "".join(letter if letter.isprintable() and not letter.isspace() else "?" for letter in name)[:150] or "-"


def _get_run_id(request: HttpRequest) -> str:
    match = request.resolver_match
    parameter = "pk" if match and "runs" in match.namespaces else "run_id"
    return str(match.kwargs.get(parameter, "")) if match else ""


def _record_request(request: HttpRequest, response: HttpResponse, began: float, identity: str) -> None:
    response["X-Request-ID"] = identity
    if request.path_info.startswith(settings.STATIC_URL):
        return
    seconds = time.perf_counter() - began
    route = _get_route(request)
    method = request.method if request.method in _METHODS else "OTHER"
    metrics.HTTP_REQUESTS.labels(route, str(method), f"{response.status_code // 100}xx").observe(seconds)
    level = logging.DEBUG if route[1:] in _POLLED and response.status_code < 400 else logging.INFO
    milliseconds, user = round(seconds * 1000, 1), _get_user_name(request)
    facts = {"method": method, "route": route, "status": response.status_code, "ms": milliseconds, "user": user}
    log.log(
        level,
        "%s %s %d %.1f ms %s",
        method,
        route,
        response.status_code,
        milliseconds,
        user,
        extra={"access": facts, "run_id": _get_run_id(request)},
    )


@sync_and_async_middleware
def record_requests(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponse] | Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """The outermost middleware, so that it includes the responses of all others."""
    if iscoroutinefunction(get_response):

        async def later(request: HttpRequest) -> HttpResponse:
            began, identity = time.perf_counter(), _get_request_id(request)
            token = request_id.set(identity)
            try:
                response: HttpResponse = await get_response(request)
                _record_request(request, response, began, identity)
                return response
            finally:
                request_id.reset(token)

        return later

    def now(request: HttpRequest) -> HttpResponse:
        began, identity = time.perf_counter(), _get_request_id(request)
        token = request_id.set(identity)
        try:
            response: HttpResponse = get_response(request)
            _record_request(request, response, began, identity)
            return response
        finally:
            request_id.reset(token)

    return now
