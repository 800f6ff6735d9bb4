"""Checks every request of a browser: is it signed in, was its session ended, and must its user change the password?"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, resolve_url
from django.utils.deprecation import MiddlewareMixin
from django.utils.http import url_has_allowed_host_and_scheme

from cronium_admin.accounts import sessions
from cronium_admin.accounts.models import User

# Views that a user who must change the password may open.
_OPEN_VIEWS = frozenset({"account:password", "sign-out"})


class SignInMiddleware(MiddlewareMixin):
    """Must run after Django's AuthenticationMiddleware. Its only query is the user, which every page needs anyway."""

    def process_request(self, request: HttpRequest) -> None:
        has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
        if not has_session or not isinstance(request.user, User):
            return
        if sessions.is_ended(request.session, request.user):
            logout(request)
        elif sessions.SIGN_IN_KEY not in request.session:
            sessions.record_sign_in(request, request.user)
        elif not sessions.record_activity(request.session):
            logout(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        if not getattr(view, "login_required", True):  # the API does its own check
            return None
        user = request.user
        if not isinstance(user, User) or not user.must_change_password:
            return None
        is_open = request.resolver_match is not None and request.resolver_match.view_name in _OPEN_VIEWS
        return None if is_open else redirect("account:password")


class SignInRequired(LoginRequiredMiddleware):
    """A form that was sent without a session is not sent again: the sign-in page says so, and leads back to the page of
    the form instead of the address that took it."""

    def handle_no_permission(self, request: HttpRequest, view_func: Callable[..., Any]) -> HttpResponseRedirect:
        if request.method in ("GET", "HEAD"):
            return super().handle_no_permission(request, view_func)
        query = {"next": _find_form_address(request), "refused": "form"}
        return HttpResponseRedirect(f"{resolve_url(settings.LOGIN_URL)}?{urlencode(query, safe='/')}")


def _find_form_address(request: HttpRequest) -> str:
    referer = request.headers.get("Referer", "")
    is_own = referer.startswith("http") and url_has_allowed_host_and_scheme(referer, {request.get_host()})
    if not is_own:
        return request.get_full_path()
    parts = urlsplit(referer)
    return f"{parts.path}{f'?{parts.query}' if parts.query else ''}"
