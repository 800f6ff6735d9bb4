"""Checks every request of a signed-in browser: was its session ended, and must its user change the password?"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.deprecation import MiddlewareMixin

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
