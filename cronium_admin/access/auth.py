"""Who calls the API, and whether they may: a bearer token, or the browser's session with CSRF."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from ninja.security import HttpBearer
from ninja.security.apikey import APIKeyCookie
from ninja.security.session import SessionAuth
from ninja.utils import check_csrf

from cronium_admin.access.models import User
from cronium_admin.access.roles import RANK, May
from cronium_admin.access.service import user_of_token
from cronium_admin.errors import Refused

_WHAT = {
    May.SEE: "see this",
    May.RUN: "run, cancel and re-run jobs",
    May.EDIT: "create, change and delete jobs",
    May.OPEN_NETWORK: "give jobs the open network",
    May.ADMIN: "change images and profiles",
}


def _allow(user: User, right: May) -> None:
    if not user.may(right):
        role = next(role for role, rank in RANK.items() if rank >= right)
        raise Refused(
            403,
            "forbidden",
            f"{user.get_username()} may not {_WHAT[right]}: that takes the role {role.label} or higher. "
            "Ask an administrator.",
        )


class Bearer(HttpBearer):
    """`Authorization: Bearer TOKEN`. A token that is shown and wrong is refused, whatever else is sent."""

    def __init__(self, right: May) -> None:
        super().__init__()
        self.right = right

    def authenticate(self, request: HttpRequest, token: str) -> User:
        user = user_of_token(token.strip())
        _allow(user, self.right)
        return user


class Session(APIKeyCookie):
    """The browser's session. A request that changes something shows the CSRF token too."""

    param_name = SessionAuth.param_name

    def __init__(self, right: May) -> None:
        super().__init__(csrf=True)
        self.right = right

    def __call__(self, request: HttpRequest) -> User | None:
        user = request.user
        if not isinstance(user, User) or not user.is_active:
            return None  # a stranger is told to sign in (401), not that a CSRF token is missing
        if check_csrf(request):
            raise Refused(403, "csrf_failed", "The CSRF token is missing or old. Send it as the header X-CSRFToken.")
        _allow(user, self.right)
        return user

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        return self(request)


def needs(right: May) -> list[Callable[[HttpRequest], Any]]:
    """For a route's `auth`: the ways to say who one is, and the right that the route takes."""
    return [Bearer(right), Session(right)]


def caller(request: HttpRequest) -> User:
    """Who calls, after `needs` has let them in."""
    user = getattr(request, "auth", None)
    assert isinstance(user, User)
    return user


def require(request: HttpRequest, right: May) -> None:
    """Refuse (403) a caller without `right`, with a sentence that says which is missing and who has it."""
    _allow(caller(request), right)
