"""Authenticates API requests by bearer token, or by browser session with CSRF, and checks permissions."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from ninja.security import HttpBearer
from ninja.security.apikey import APIKeyCookie
from ninja.security.session import SessionAuth
from ninja.utils import check_csrf

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.accounts.permission_messages import explain_refusal
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.tokens import find_token
from cronium_admin.core.errors import ApiError


def _check_user_permission(user: User, permission: Permission) -> None:
    if not user.has_permission(permission):
        raise ApiError(403, "forbidden", explain_refusal(user, permission))


class Bearer(HttpBearer):
    """`Authorization: Bearer TOKEN`. An invalid token is refused, even if the request also has a valid session."""

    def __init__(self, permission: Permission) -> None:
        super().__init__()
        self.permission = permission

    def authenticate(self, request: HttpRequest, token: str) -> User:
        row = find_token(token.strip())
        _check_user_permission(row.user, self.permission)
        request.api_token = row  # type: ignore[attr-defined]
        return row.user


class Session(APIKeyCookie):
    """The browser's session. Requests that change something must also carry the CSRF token."""

    param_name = SessionAuth.param_name

    def __init__(self, permission: Permission) -> None:
        super().__init__(csrf=True)
        self.permission = permission

    def __call__(self, request: HttpRequest) -> User | None:
        user = request.user
        if not isinstance(user, User) or not user.is_active:
            return None  # an unauthenticated client gets 401, not an error about a missing CSRF token
        if check_csrf(request):
            raise ApiError(
                403, "csrf_failed", "The CSRF token is missing or expired. Send it in the header X-CSRFToken."
            )
        if user.must_change_password:
            raise ApiError(
                403, "password_change_required", "Change your password first, on the page /account/password/."
            )
        _check_user_permission(user, self.permission)
        return user

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        return self(request)


def require_permission(permission: Permission) -> list[Callable[[HttpRequest], Any]]:
    """The value for a route's `auth`: the accepted credentials and the permission that the route needs."""
    return [Bearer(permission), Session(permission)]


def get_caller(request: HttpRequest) -> User:
    user = getattr(request, "auth", None)
    assert isinstance(user, User)
    return user


def get_api_token(request: HttpRequest) -> ApiToken | None:
    """The API token that authenticated the request; None for a session."""
    return getattr(request, "api_token", None)


def check_permission(request: HttpRequest, permission: Permission) -> None:
    """Raises ApiError 403 if the caller lacks `permission`; its message names the role needed."""
    _check_user_permission(get_caller(request), permission)
