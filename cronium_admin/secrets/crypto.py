"""Encrypts and decrypts secrets with the list of keys; the one place that holds a key. Stores nothing."""

import os

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from cronium_admin.core.data_folder import DataFolderError, load_or_create_secret, pad_fernet_key
from cronium_admin.secrets.models import Secret

KEY_FILE = "encryption_key"


class DecryptionError(Exception):
    """None of the keys opens it, or it was encrypted for another name."""


def _load_keys() -> list[Fernet]:
    """The keys of the setting, the first one encrypts; without a setting the one of the data folder."""
    given = settings.CONFIG.encryption_keys or _load_stored_key()
    return [Fernet(pad_fernet_key(part)) for part in given.split(",") if part.strip()]


def _load_stored_key() -> str:
    """The data folder's key. A missing one is made only while no secret is stored."""
    path = settings.DATA_DIR / KEY_FILE
    # The file is looked for once more: another process may have made it, and then stored the first secret.
    if not os.path.lexists(path) and (number := Secret.objects.count()) and not os.path.lexists(path):
        stored = "a secret is" if number == 1 else f"{number:,} secrets are"
        raise DataFolderError(
            f"The key file {path} is missing, and {stored} stored that no new key can decrypt. Restore the file from a "
            "backup, or set CRONIUM_ENCRYPTION_KEYS to the key that they were encrypted with; all hosts need the same. "
            "If the key is lost, run `python manage.py secrets new-key` and set the value of each secret again."
        )
    return load_or_create_secret(settings.DATA_DIR, KEY_FILE)


def make_key() -> bool:
    """Make the data folder's key although secrets are stored, which it can't decrypt. False: there is a key already."""
    if settings.CONFIG.encryption_keys or os.path.lexists(settings.DATA_DIR / KEY_FILE):
        return False
    load_or_create_secret(settings.DATA_DIR, KEY_FILE)
    return True


def check_keys() -> None:
    """Raises DataFolderError for a key file that can't be used; at the start, before a person needs it."""
    _load_keys()


def encrypt(name: str, value: str) -> str:
    """A token for the database. It opens for this `name` alone, so that rows can't be exchanged.

    DataFolderError when there is no usable key.
    """
    return _load_keys()[0].encrypt(f"{name}\0{value}".encode()).decode()


def decrypt(name: str, token: str) -> str:
    """The value again; Unreadable when no key opens it."""
    try:
        owner, _, value = MultiFernet(_load_keys()).decrypt(token.encode()).decode().partition("\0")
    except (InvalidToken, UnicodeError, DataFolderError):
        raise DecryptionError(name) from None
    if owner != name:
        raise DecryptionError(name)
    return value


def reencrypt(name: str, token: str) -> str | None:
    """The token made with the first key; None when it is that already. Unreadable as above."""
    keys = _load_keys()
    try:
        keys[0].decrypt(token.encode())
        return None
    except InvalidToken:
        pass
    try:
        return MultiFernet(keys).rotate(token.encode()).decode()
    except InvalidToken:
        raise DecryptionError(name) from None
