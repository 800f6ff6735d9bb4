"""Carries a value over the redirect after a POST, to be shown once. It lies in the session, encrypted, for minutes."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.http import HttpRequest

_SECONDS = 300  # after that it is not shown any more


def store_value(request: HttpRequest, kind: str, value: str) -> None:
    """Keep `value` for the next page that asks for `kind`."""
    request.session[f"once.{kind}"] = _make_cipher().encrypt(value.encode()).decode()


def pop_value(request: HttpRequest, kind: str) -> str:
    """The value that was kept, and forget it; empty when there is none, or when it is too old."""
    kept = request.session.pop(f"once.{kind}", "")
    try:
        return _make_cipher().decrypt(kept, ttl=_SECONDS).decode() if kept else ""
    except InvalidToken:
        return ""


def _make_cipher() -> Fernet:
    """By a key derived from the secret key: who reads the database alone reads no token and no password."""
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"cronium.once:" + settings.SECRET_KEY.encode()).digest()))
