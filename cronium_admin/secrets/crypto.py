"""Encrypts and decrypts secrets with the list of keys; the one place that holds a key. Stores nothing."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from cronium_admin.data_folder import fernet_key, stored_secret

KEY_FILE = "encryption_key"


class Unreadable(Exception):
    """None of the keys opens it, or it was encrypted for another name."""


def _keys() -> list[Fernet]:
    """The keys of the setting, the first one encrypts; without a setting the one of the data folder."""
    given = settings.CONFIG.encryption_keys or stored_secret(settings.DATA_DIR, KEY_FILE)
    return [Fernet(fernet_key(part)) for part in given.split(",") if part.strip()]


def check_keys() -> None:
    """Raises DataFolderError for a key file that can't be used; at the start, before a person needs it."""
    _keys()


def encrypt(name: str, value: str) -> str:
    """A token for the database. It opens for this `name` alone, so that rows can't be exchanged."""
    return _keys()[0].encrypt(f"{name}\0{value}".encode()).decode()


def decrypt(name: str, token: str) -> str:
    """The value again; Unreadable when no key opens it."""
    try:
        owner, _, value = MultiFernet(_keys()).decrypt(token.encode()).decode().partition("\0")
    except (InvalidToken, UnicodeError):
        raise Unreadable(name) from None
    if owner != name:
        raise Unreadable(name)
    return value


def rotated(name: str, token: str) -> str | None:
    """The token made with the first key; None when it is that already. Unreadable as above."""
    keys = _keys()
    try:
        keys[0].decrypt(token.encode())
        return None
    except InvalidToken:
        pass
    try:
        return MultiFernet(keys).rotate(token.encode()).decode()
    except InvalidToken:
        raise Unreadable(name) from None
