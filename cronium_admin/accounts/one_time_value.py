"""Carries a value over the redirect after a POST, to show it once. It is encrypted in the session for five minutes."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.http import HttpRequest

_SECONDS = 300  # the value expires after this time


def store_value(request: HttpRequest, kind: str, value: str) -> None:
    request.session[f"once.{kind}"] = _make_cipher().encrypt(value.encode()).decode()


def pop_value(request: HttpRequest, kind: str) -> str:
    """Returns the stored value and deletes it; empty if there is none or it has expired."""
    encrypted = request.session.pop(f"once.{kind}", "")
    try:
        return _make_cipher().decrypt(encrypted, ttl=_SECONDS).decode() if encrypted else ""
    except InvalidToken:
        return ""


def _make_cipher() -> Fernet:
    # The key is derived from SECRET_KEY: reading the database alone reveals no token and no password
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"cronium.once:" + settings.SECRET_KEY.encode()).digest()))
