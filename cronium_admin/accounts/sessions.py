"""The signed-in sessions of users: one row per sign-in, listed and ended by the user or an administrator."""

import re
import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.expressions import CombinedExpression
from django.http import HttpRequest

from cronium_admin.accounts.models import SignIn, User
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.core.database.outage import outage_log

SIGN_IN_KEY = "sign_in"  # the session's entry that holds the row's key
ACTIVITY_INTERVAL_SECONDS = 60.0
MAX_ENDED = 50  # after this many individual endings, all sessions of the user are ended
_recorded_at: dict[int, float] = {}  # monotonic time of this process's last write of `seen_at`, by row
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
)


class SessionEnded(Exception):
    """The session was ended by its user or an administrator after the request began."""


def describe_device(user_agent: str) -> str:
    browser = next((word for sign, word in _BROWSERS if sign in user_agent), "")
    system = next((word for sign, word in _SYSTEMS if sign in user_agent), "")
    if browser or system:
        return f"{browser or 'A browser'} on {system}" if system else browser
    return re.sub(r"[^\x20-\x7e]+", "?", user_agent)[:80].strip() or "Unknown browser"


def record_sign_in(request: HttpRequest, user: User) -> None:
    SignIn.objects.filter(user=user, created_at__lt=_get_expiry_cutoff()).delete()
    row = SignIn.objects.create(user=user, device=describe_device(request.headers.get("User-Agent", "")))
    request.session[SIGN_IN_KEY] = row.pk
    # Without a fixed expiry, every change of the session's data would prolong it.
    request.session.set_expiry(database_now() + timedelta(seconds=settings.SESSION_COOKIE_AGE))
    _remember_activity(row.pk)


def on_signed_in(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    record_sign_in(request, user)


def on_signed_out(sender: Any, request: HttpRequest, **_: Any) -> None:
    SignIn.objects.filter(pk=request.session.get(SIGN_IN_KEY, 0)).delete()


def is_ended(session: SessionBase, user: User) -> bool:
    """Whether this session was ended individually. Makes no query."""
    return session.get(SIGN_IN_KEY) in user.ended_sign_ins


def record_activity(session: SessionBase) -> bool:
    """Writes the session's last use, at most once a minute. Returns False if its sign-in no longer exists."""
    key = session.get(SIGN_IN_KEY)
    if (
        key is not None
        and time.monotonic() - _recorded_at.get(key, -ACTIVITY_INTERVAL_SECONDS) >= ACTIVITY_INTERVAL_SECONDS
    ):
        with outage_log.tolerate("noting when a session was used"):
            if not SignIn.objects.filter(pk=key, created_at__gte=_get_expiry_cutoff()).update(seen_at=Now()):
                return False
        _remember_activity(key)
    return True


def list_sign_ins(user: User) -> QuerySet[SignIn]:
    return SignIn.objects.filter(user=user, created_at__gte=_get_expiry_cutoff())


def end_all(user: User) -> None:
    """Ends all sessions of `user`. The caller's own session continues only after `update_session_auth_hash`."""
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(session_epoch=F("session_epoch") + 1, ended_sign_ins=[])
        SignIn.objects.filter(user=user).delete()
    user.refresh_from_db(fields=["session_epoch", "ended_sign_ins"])


def end_others(user: User, session: SessionBase) -> int:
    """Ends the other sessions of `user` and returns their number. The caller must renew this session's hash.

    Raises SessionEnded, and changes nothing, if this session was ended after the request began.
    """
    key = session.get(SIGN_IN_KEY, 0)
    with transaction.atomic():
        _lock_user(user)
        if not list_sign_ins(user).filter(pk=key).exists():
            raise SessionEnded
        User.objects.filter(pk=user.pk).update(session_epoch=F("session_epoch") + 1, ended_sign_ins=[])
        others = list_sign_ins(user).exclude(pk=key).count()
        SignIn.objects.filter(user=user).exclude(pk=key).delete()
        # Read under the lock: with a later epoch this session would survive the next call that ends it.
        user.refresh_from_db(fields=["session_epoch", "ended_sign_ins"])
    return others


def end_one(user: User, key: int, own: SessionBase | None = None) -> bool:
    """Ends one session of `user`. Returns False if no session has this key.

    After MAX_ENDED individual endings, all sessions except `own` are ended; then the caller must renew the hash of
    `own`, and SessionEnded is raised as by `end_others`.
    """
    with transaction.atomic():
        ended = _lock_user(user)
        if not SignIn.objects.filter(user=user, pk=key).delete()[0]:
            return False
        if len(ended) < MAX_ENDED:
            User.objects.filter(pk=user.pk).update(ended_sign_ins=[*ended, key])
        elif own is None or own.get(SIGN_IN_KEY) == key:
            end_all(user)
        else:
            end_others(user, own)
    return True


def _lock_user(user: User) -> list[int]:
    # Locks the user's row, so that sessions are ended one call at a time. Returns the keys ended individually.
    rows = User.objects.select_for_update().filter(pk=user.pk)
    return list(rows.values_list("ended_sign_ins", flat=True).first() or [])


def _remember_activity(key: int) -> None:
    if len(_recorded_at) > 10_000:
        _recorded_at.clear()
    _recorded_at[key] = time.monotonic()


def _get_expiry_cutoff() -> CombinedExpression:
    return Now() - timedelta(seconds=settings.SESSION_COOKIE_AGE)
