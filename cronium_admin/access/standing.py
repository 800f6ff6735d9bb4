"""Whether somebody who was let in a while ago still would be: for connections that stay open."""

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from cronium_admin.access import sessions
from cronium_admin.access.models import User
from cronium_admin.access.roles import May
from cronium_admin.access.service import user_of_token
from cronium_admin.errors import Refused

AGAIN_SECONDS = 5.0  # how long an open connection may outlive a right, a token, a session, an account
Stands = Callable[[], bool]  # asks the database


def of_token(token: str, right: May) -> Stands:
    """By the API token that was shown."""

    def stands() -> bool:
        with suppress(Refused):
            return user_of_token(token).may(right)
        return False

    return stands


def of_session(key: str | None, right: May) -> Stands:
    """By the browser's session: signed in, with the same password, not switched off."""
    store = import_module(settings.SESSION_ENGINE).SessionStore

    def stands() -> bool:
        request = HttpRequest()
        request.session = store(key)
        user = get_user(request)
        if not isinstance(user, User) or sessions.is_ended(request.session, user) or user.must_change_password:
            return False
        return user.may(right)

    return stands


def of_request(request: HttpRequest, right: May) -> Stands:
    """By whichever of the two let the request in."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return of_token(token.strip(), right)
    return of_session(request.session.session_key, right)
