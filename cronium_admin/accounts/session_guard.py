"""Re-checks permissions of connections that stay open."""

import asyncio
import time
from collections import OrderedDict
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from cronium_admin.accounts import sessions
from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.tokens import find_token_user
from cronium_admin.core.errors import ApiError

RECHECK_SECONDS = 4.0  # between two checks; with SHARED_SECONDS how long an open connection may outlive a right
SHARED_SECONDS, MAX_SHARED = 1.0, 4096  # age of an answer that connections of one credential share


@dataclass(frozen=True)
class PermissionCheck:
    """A credential and the right that it has to give. Called, it asks the database."""

    kind: str  # token or session
    value: str | None = field(repr=False)
    permission: Permission

    def __call__(self) -> bool:
        user = _find_token_user(self.value or "") if self.kind == "token" else _find_session_user(self.value)
        return user is not None and user.has_permission(self.permission)


def check_by_token(token: str, right: Permission) -> PermissionCheck:
    """By the API token that was shown."""
    return PermissionCheck("token", token, right)


def check_by_session(key: str | None, right: Permission) -> PermissionCheck:
    """By the browser's session: signed in, with the same password, not switched off."""
    return PermissionCheck("session", key, right)


def check_by_request(request: HttpRequest, right: Permission) -> PermissionCheck:
    """By whichever of the two let the request in."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return check_by_token(token.strip(), right)
    return check_by_session(request.session.session_key, right)


def _find_token_user(token: str) -> User | None:
    with suppress(ApiError):
        return find_token_user(token)
    return None


def _find_session_user(key: str | None) -> User | None:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = get_user(request)
    if not isinstance(user, User) or sessions.is_ended(request.session, user) or user.must_change_password:
        return None
    return user


class SharedChecks:
    """One query for all connections of a credential, in one event loop, that are checked within SHARED_SECONDS."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._answers: OrderedDict[tuple[object, PermissionCheck], tuple[float, asyncio.Future[bool]]] = OrderedDict()

    async def is_allowed(self, standing: PermissionCheck) -> bool:
        """Raises what the database raises."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        at, answer = self._answers.get((loop, standing), (0.0, None))
        if answer is None or now - at > SHARED_SECONDS:
            answer = asyncio.ensure_future(loop.run_in_executor(self._threads, standing))
            self._answers.pop((loop, standing), None)
            self._answers[loop, standing] = now, answer
            while len(self._answers) > MAX_SHARED:
                self._answers.popitem(last=False)
        return await asyncio.shield(answer)
