"""Authenticates API requests by bearer token, or by browser session with CSRF, and checks permissions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from ninja.security import HttpBearer
from ninja.security.apikey import APIKeyCookie
from ninja.security.session import SessionAuth
from ninja.utils import check_csrf

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.accounts.permission_messages import explain_refusal
from cronium_admin.accounts.permissions import Permission, may_continue_to_row_check
from cronium_admin.accounts.tokens import find_token
from cronium_admin.core.errors import ApiError


@dataclass(frozen=True)
class Requirement:
    """What a route needs: a permission in the instance or, with `in_project`, on the rows that its function checks;
    without a permission, only a valid credential."""

    permission: Permission | None
    in_project: bool = False

    def check(self, request: HttpRequest, user: User) -> None:
        if self.permission is None or user.has_permission(self.permission):
            return
        names_object = bool(request.resolver_match and request.resolver_match.kwargs)
        if not (self.in_project and may_continue_to_row_check(user, self.permission, names_object)):
            raise ApiError(403, "forbidden", explain_refusal(user, self.permission))


class Bearer(HttpBearer):
    """`Authorization: Bearer TOKEN`. An invalid token is refused, even if the request also has a valid session."""

    def __init__(self, requirement: Requirement) -> None:
        super().__init__()
        self.requirement = requirement

    def authenticate(self, request: HttpRequest, token: str) -> User:
        row = find_token(token.strip())
        self.requirement.check(request, row.user)
        request.api_token = row  # type: ignore[attr-defined]
        return row.user


class Session(APIKeyCookie):
    """The browser's session. Requests that change something must also carry the CSRF token."""

    param_name = SessionAuth.param_name

    def __init__(self, requirement: Requirement) -> None:
        super().__init__(csrf=True)
        self.requirement = requirement

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
        self.requirement.check(request, user)
        return user

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        return self(request)


def require_user() -> list[Callable[[HttpRequest], Any]]:
    """The value of `auth` for routes about the caller: any user who is not switched off."""
    return _build_auth(Requirement(None))


def require_permission(permission: Permission) -> list[Callable[[HttpRequest], Any]]:
    """The value of `auth` for routes of the whole instance: the role in the instance must give `permission`."""
    return _build_auth(Requirement(permission))


def require_project_permission(permission: Permission) -> list[Callable[[HttpRequest], Any]]:
    """The value of `auth` for routes of rows of projects: refuses callers who have `permission` nowhere. The route's
    function must read rows through `visible_to` and check the permission on the row."""
    return _build_auth(Requirement(permission, in_project=True))


def _build_auth(requirement: Requirement) -> list[Callable[[HttpRequest], Any]]:
    return [Bearer(requirement), Session(requirement)]


def get_caller(request: HttpRequest) -> User:
    user = getattr(request, "auth", None)
    assert isinstance(user, User)
    return user


def get_api_token(request: HttpRequest) -> ApiToken | None:
    """The API token that authenticated the request; None for a session."""
    return getattr(request, "api_token", None)
