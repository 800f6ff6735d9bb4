"""For all pages: the template context of the frame, caching of htmx fragments, compression, errors."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin
from django.utils.functional import SimpleLazyObject
from django.views.defaults import server_error

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import INSTANCE, Permission, can
from cronium_admin.core.errors import INTERNAL_ERROR, ErrorBody, convert_outage
from cronium_admin.help.page_help import find_page_help
from cronium_admin.web.frame_counts import count_for_frame


def build_frame_context(request: HttpRequest) -> dict[str, Any]:
    """`can_in_instance`, `can`: the user's permissions in the instance; pages of rows of projects replace `can` by the
    permissions on these. `frame_counts`: the numbers of `live` runs and of open `incidents` that the user sees;
    one query, and only by pages with a frame. `page_help`: the short help of the page, or None."""
    user = getattr(request, "user", None)
    permissions = {}
    if isinstance(user, User):
        permissions = {permission.name.lower(): can(user, permission, INSTANCE) for permission in Permission}
    return {
        "can_in_instance": permissions,
        "can": permissions,
        "frame_counts": SimpleLazyObject(lambda: count_for_frame(cast(User, user))),
        "page_help": find_page_help(request.resolver_match.view_name) if request.resolver_match else None,
        "app_version": settings.VERSION,
    }


def _set_no_store(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    if "HX-Request" in request.headers:
        response["Cache-Control"] = "no-store"
        patch_vary_headers(response, ["HX-Request"])
    return response


@sync_and_async_middleware
def forbid_fragment_caching(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponse] | Callable[[HttpRequest], Awaitable[HttpResponse]]:
    # A browser could show a cached response to htmx as a page.
    if iscoroutinefunction(get_response):

        async def answer_later(request: HttpRequest) -> HttpResponse:
            return _set_no_store(request, await get_response(request))

        return answer_later

    def answer(request: HttpRequest) -> HttpResponse:
        return _set_no_store(request, get_response(request))

    return answer


class ExplainWrongMethod(MiddlewareMixin):
    """An address that takes only forms answers a browser with a page, instead of an empty one."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        is_empty = isinstance(response, HttpResponseNotAllowed) and not response.content
        if not is_empty or "HX-Request" in request.headers:
            return response
        text = "It takes a form that another page sends. Nothing was changed."
        context = {"heading": "This address has no page", "exception": text, "status": 405}
        page = render(request, "403.html", context, status=405)
        page["Allow"] = response["Allow"]
        return page


def answer_server_error(request: HttpRequest) -> HttpResponse:
    refused = convert_outage(sys.exc_info()[1], "a request")
    is_api = request.path_info.startswith("/api/")
    if refused is None and not is_api:
        return server_error(request)
    if refused is None:
        return JsonResponse(ErrorBody(detail=INTERNAL_ERROR, code="internal").model_dump(), status=500)
    if is_api:
        body = ErrorBody(detail=refused.message, code=refused.code)
        response: HttpResponse = JsonResponse(body.model_dump(), status=refused.status)
    else:
        response = HttpResponse(render_to_string("503.html", {"sentence": refused.message}), status=refused.status)
    response["Retry-After"] = "3"
    return response


class HtmlGzip(GZipMiddleware):
    """Compresses only pages and fragments; a compressor would delay a followed stream.

    Against attacks by the size of responses (BREACH), Django masks the CSRF tokens and adds random bytes. No page
    contains the value of a secret.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        is_page = not response.streaming and response.get("Content-Type", "").startswith("text/html")
        return super().process_response(request, response) if is_page else response
