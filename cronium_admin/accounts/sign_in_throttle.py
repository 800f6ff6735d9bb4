"""Throttles password guessing: after some wrong passwords each attempt has to wait, at most MAX_DELAY seconds.

Attempts are counted per name and address, and per address. A browser that has signed in before has its own count, so
that other clients at the same address can't lock its user out. Sessions and tokens are not affected. When a
signed-in user types the current password, attempts are counted per user, over all sessions. While the shared cache
fails, each process counts in its own memory.
"""

import logging
import time
from collections.abc import Callable
from hashlib import sha256
from ipaddress import ip_address
from time import monotonic, sleep
from typing import TypeVar

from django.conf import settings
from django.core import signing
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.http import HttpRequest, HttpResponse

from cronium_admin.accounts.models import User
from cronium_admin.core.line_text import fold_case

log = logging.getLogger("cronium.access")
T = TypeVar("T")
COUNT_TTL_SECONDS = 15 * 60
MAX_DELAY = 30.0
COOKIE, COOKIE_SECONDS = "cronium_known", 365 * 86_400
_SALT = "cronium.known-browser"
CACHE_RETRY_SECONDS = 10.0  # delay before a failed shared cache is tried again
# An attempt is counted within milliseconds. The lock of a process that died expires.
LOCK_SECONDS, LOCK_RETRY_SECONDS, LOCK_ATTEMPTS = 2, 0.005, 100
_cache_retry_at = 0.0


def _get_address_key(request: HttpRequest) -> str:
    # The client's address; for IPv6 its /64 network, which usually belongs to one customer
    client = str(request.META.get("REMOTE_ADDR", ""))
    try:
        address = ip_address(client)
    except ValueError:
        return client
    return address.exploded[:19] if address.version == 6 else client


def _normalize_username(username: str) -> str:
    # Equal for all spellings that Django's form accepts as the same name, and for upper and lower case
    return fold_case(username.strip())[:150]


def _is_known_browser(request: HttpRequest, name: str) -> bool:
    try:
        return bool(signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=COOKIE_SECONDS)[0] == name)
    except (signing.BadSignature, IndexError, TypeError, KeyError):
        return False


def _make_keys(request: HttpRequest, username: str) -> dict[str, int]:
    # The cache keys that the attempt counts for, each with the number of attempts without a delay
    name, address = _normalize_username(username), _get_address_key(request)
    if _is_known_browser(request, name):
        attempts = {f"browser {request.COOKIES[COOKIE]}": settings.SIGN_IN_FREE_ATTEMPTS}
    else:
        own, every = settings.SIGN_IN_FREE_ATTEMPTS, settings.SIGN_IN_FREE_ATTEMPTS_OF_ADDRESS
        attempts = {f"name {name} at {address}": own, f"address {address}": every}
    return {"sign-in." + sha256(key.encode()).hexdigest(): free for key, free in attempts.items()}


def _use_cache(use: Callable[[BaseCache], T]) -> T:
    global _cache_retry_at
    if monotonic() >= _cache_retry_at:
        try:
            return use(caches["throttle"])
        except Exception as error:  # noqa: BLE001 - users must be able to sign in despite any error
            _cache_retry_at = monotonic() + CACHE_RETRY_SECONDS
            text = "the shared count of sign-in attempts failed (%s); this process counts in its own memory for %d s"
            log.warning(text, type(error).__name__, CACHE_RETRY_SECONDS)
    return use(caches["throttle_own"])


def record_attempt(request: HttpRequest, username: str) -> float:
    """Counts a sign-in attempt and returns 0, or returns the seconds to wait and counts nothing."""
    keys = _make_keys(request, username)
    return _use_cache(lambda cache: _count_attempt_locked(cache, keys))


def record_user_attempt(user: User) -> float:
    keys = _make_user_keys(user)
    return _use_cache(lambda cache: _count_attempt_locked(cache, keys))


def _make_user_keys(user: User) -> dict[str, int]:
    return {f"present-password.{user.pk}": settings.SIGN_IN_FREE_ATTEMPTS}


def _count_attempt_locked(cache: BaseCache, keys: dict[str, int]) -> float:
    # Allows one attempt at a time per address, browser or user: concurrent attempts would all find no delay
    lock = f"{list(keys)[-1]}.lock"
    for _ in range(LOCK_ATTEMPTS):
        if cache.add(lock, 1, LOCK_SECONDS):
            try:
                return _count_attempt(cache, keys)
            finally:
                cache.delete(lock)
        sleep(LOCK_RETRY_SECONDS)
    return 1.0


def _count_attempt(cache: BaseCache, keys: dict[str, int]) -> float:
    now = time.time()
    waits = [float(cache.get(f"{key}.until", 0)) - now for key in keys]
    # No delay exceeds MAX_DELAY: a later time was stored before the clock was set back.
    if (longest := max((wait for wait in waits if wait <= MAX_DELAY), default=0.0)) > 0:
        return longest
    for key, free in keys.items():
        cache.add(key, 0, COUNT_TTL_SECONDS)
        try:
            count = cache.incr(key)
        except ValueError:  # the key has just expired
            count = 1
        if count >= free:
            delay = min(MAX_DELAY, 2.0 ** min(count - free, 10))
            cache.set(f"{key}.until", now + delay, MAX_DELAY)
    return 0.0


def clear_attempts(request: HttpRequest, username: str) -> None:
    # The count of the address stays, or one valid account would allow unlimited guesses.
    _clear_count(next(iter(_make_keys(request, username))))


def clear_user_attempts(user: User) -> None:
    _clear_count(next(iter(_make_user_keys(user))))


def _clear_count(key: str) -> None:
    _use_cache(lambda cache: cache.delete_many([key, f"{key}.until"]))


def remember_browser(response: HttpResponse, username: str) -> None:
    value = signing.dumps([_normalize_username(username), time.time_ns()], salt=_SALT)
    is_secure = settings.SESSION_COOKIE_SECURE
    response.set_cookie(
        COOKIE, value, COOKIE_SECONDS, path="/sign-in/", secure=is_secure, httponly=True, samesite="Lax"
    )
