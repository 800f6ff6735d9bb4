"""Re-checks permissions on connections that stay open."""

import asyncio
import threading
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module

from cachetools import TTLCache
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from cronium_admin.accounts import sessions
from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, ProjectId
from cronium_admin.accounts.tokens import find_token_user
from cronium_admin.core.errors import ApiError

RECHECK_SECONDS = 4.0  # between two checks; a connection outlives a lost permission by at most this plus SHARED_SECONDS
SHARED_SECONDS, MAX_SHARED = 1.0, 4096  # maximum age of a result that connections with the same credential share


@dataclass(frozen=True)
class PermissionCheck:
    """A credential and the permission that it must grant. A call queries the database.

    Without a permission, the credential of any user who is not switched off is valid. With `project_id`, a membership
    of that project may give the permission.
    """

    kind: str  # token or session
    value: str | None = field(repr=False)
    permission: Permission | None
    project_id: int | None = field(default=None, repr=False)

    def __call__(self) -> bool:
        user = _find_token_user(self.value or "") if self.kind == "token" else _find_session_user(self.value)
        if user is None or not user.is_active:
            return False
        if self.permission is None or user.has_permission(self.permission):
            return True
        return self.project_id is not None and user.has_permission_in(self.project_id, self.permission)


def check_by_token(token: str, permission: Permission | None, project_id: int | None = None) -> PermissionCheck:
    return PermissionCheck("token", token, permission, project_id)


def check_by_session(key: str | None, permission: Permission | None, project_id: int | None = None) -> PermissionCheck:
    # Valid while the user is signed in with the same password and is not switched off
    return PermissionCheck("session", key, permission, project_id)


def check_by_request(request: HttpRequest, permission: Permission, project_id: ProjectId) -> PermissionCheck:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return check_by_token(token.strip(), permission, project_id)
    return check_by_session(request.session.session_key, permission, project_id)


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
    """Runs one query per credential for all connections of an event loop within SHARED_SECONDS."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._lock = threading.Lock()  # event loops of several threads share the cache
        self._answers: TTLCache[tuple[object, PermissionCheck], asyncio.Future[bool]]
        self._answers = TTLCache(MAX_SHARED, SHARED_SECONDS)

    async def is_allowed(self, check: PermissionCheck) -> bool:
        """Raises the errors of the database."""
        loop = asyncio.get_running_loop()
        with self._lock:
            answer = self._answers.get((loop, check))
            if answer is None:
                answer = self._answers[loop, check] = loop.run_in_executor(self._threads, check)
        return await asyncio.shield(answer)
