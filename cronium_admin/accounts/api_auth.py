"""Who calls the API, and whether they may: a bearer token, or the browser's session with CSRF."""

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


def _check_user_permission(user: User, right: Permission) -> None:
    if not user.has_permission(right):
        raise ApiError(403, "forbidden", explain_refusal(user, right))


class Bearer(HttpBearer):
    """`Authorization: Bearer TOKEN`. A token that is shown and wrong is refused, whatever else is sent."""

    def __init__(self, right: Permission) -> None:
        super().__init__()
        self.permission = right

    def authenticate(self, request: HttpRequest, token: str) -> User:
        row = find_token(token.strip())
        _check_user_permission(row.user, self.permission)
        request.api_token = row  # type: ignore[attr-defined]
        return row.user


class Session(APIKeyCookie):
    """The browser's session. A request that changes something shows the CSRF token too."""

    param_name = SessionAuth.param_name

    def __init__(self, right: Permission) -> None:
        super().__init__(csrf=True)
        self.permission = right

    def __call__(self, request: HttpRequest) -> User | None:
        user = request.user
        if not isinstance(user, User) or not user.is_active:
            return None  # a stranger is told to sign in (401), not that a CSRF token is missing
        if check_csrf(request):
            raise ApiError(403, "csrf_failed", "The CSRF token is missing or old. Send it as the header X-CSRFToken.")
        if user.must_change_password:
            raise ApiError(
                403, "password_change_required", "Choose a password of your own first, on the page /account/password/."
            )
        _check_user_permission(user, self.permission)
        return user

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        return self(request)


def require_permission(right: Permission) -> list[Callable[[HttpRequest], Any]]:
    """For a route's `auth`: the ways to say who one is, and the right that the route takes."""
    return [Bearer(right), Session(right)]


def get_caller(request: HttpRequest) -> User:
    """Who calls, after `needs` has let them in."""
    user = getattr(request, "auth", None)
    assert isinstance(user, User)
    return user


def get_api_token(request: HttpRequest) -> ApiToken | None:
    """The API token that let the caller in; None for a session."""
    return getattr(request, "api_token", None)


def check_permission(request: HttpRequest, right: Permission) -> None:
    """Refuse (403) a caller without `right`, with a sentence that says which is missing and who has it."""
    _check_user_permission(get_caller(request), right)
