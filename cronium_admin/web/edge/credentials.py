"""Checks and caches whether the credential of a request is valid, only to choose its queue. Django authenticates the
request again."""

import asyncio
import hmac
import time
from hashlib import sha256
from typing import Any

from cachetools import TLRUCache
from django.conf import settings
from django.http import parse_cookie

from cronium_admin.accounts import session_guard
from cronium_admin.core.database.threads import DatabaseExecutor

VALID_SECONDS, INVALID_SECONDS = 1800.0, 10.0
MAX_CACHED = 4096
MAX_LOOKUPS = 128  # lookups; beyond it a credential counts as unknown


def parse_credential(headers: dict[bytes, bytes]) -> tuple[str, str]:
    """The kind (`token`, `session` or empty) and the value of a request's credential."""
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return "token", token.strip()
    key = parse_cookie(headers.get(b"cookie", b"").decode("latin-1")).get(settings.SESSION_COOKIE_NAME, "")
    return ("session", key) if key else ("", "")


def _hash_credential(kind: str, value: str) -> str:
    return sha256(f"{kind} {value}".encode()).hexdigest()[:32]


def _compute_expiry(name: str, is_valid: bool, now: float) -> float:
    return now + (VALID_SECONDS if is_valid else INVALID_SECONDS)


class CredentialCache:
    """Answers from its cache, or by one query in one of its two threads."""

    def __init__(self) -> None:
        self._threads = DatabaseExecutor(2, "edge-credentials")
        # Used only in the event loop, so it needs no lock
        self._validity: TLRUCache[str, bool] = TLRUCache(MAX_CACHED, _compute_expiry, time.monotonic)
        self._lookups: dict[str, asyncio.Task[bool]] = {}

    def get_cached_validity(self, headers: dict[bytes, bytes]) -> bool | None:
        """Whether the request's credential is valid; None if that is not cached. Never blocks."""
        kind, value = parse_credential(headers)
        return self._validity.get(_hash_credential(kind, value)) if kind else False

    def get_cached_id(self, headers: dict[bytes, bytes]) -> str:
        """As `identify`, but also empty if the credential is not cached. Never blocks."""
        return _hash_credential(*parse_credential(headers)) if self.get_cached_validity(headers) else ""

    async def identify(self, headers: dict[bytes, bytes]) -> str:
        """An id of the request's credential; empty without a valid credential."""
        kind, value = parse_credential(headers)
        if not kind:
            return ""
        name = _hash_credential(kind, value)
        is_valid = self._validity.get(name)
        if is_valid is None:
            is_valid = await self._look_up(name, kind, value)
        return name if is_valid else ""

    async def _look_up(self, name: str, kind: str, value: str) -> bool:
        if name not in self._lookups:
            if len(self._lookups) >= MAX_LOOKUPS:
                return False
            task = asyncio.create_task(self._query_validity(name, kind, value))
            self._lookups[name] = task
            task.add_done_callback(lambda _: self._lookups.pop(name, None))
        return await asyncio.shield(self._lookups[name])

    async def _query_validity(self, name: str, kind: str, value: str) -> bool:
        metrics = settings.CONFIG.metrics_token
        metrics_token = str(metrics.get_secret_value() if hasattr(metrics, "get_secret_value") else metrics)
        if kind == "token" and metrics_token and hmac.compare_digest(value.encode(), metrics_token.encode()):
            is_valid = True
        else:
            check: Any = session_guard.check_by_token if kind == "token" else session_guard.check_by_session
            loop = asyncio.get_running_loop()
            try:
                is_valid = await loop.run_in_executor(self._threads, check(value, None))
            except Exception:  # noqa: BLE001 - a database outage: Django reports it in the queue of unauthenticated clients
                return False
        self._validity[name] = is_valid
        return is_valid
