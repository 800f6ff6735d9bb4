"""Encrypts and decrypts secrets. The only module that holds a key; stores nothing."""

import os

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from cronium_admin.core.data_folder import DataFolderError, load_or_create_secret, pad_fernet_key
from cronium_admin.secrets.models import SealedValue, Secret

KEY_FILE = "encryption_key"


class DecryptionError(Exception):
    """No key decrypts the token, or it was encrypted for another name."""


def _load_keys() -> list[Fernet]:
    # The keys of the setting, or else the key of the data folder. The first key encrypts.
    configured = settings.CONFIG.encryption_keys or _load_stored_key()
    return [Fernet(pad_fernet_key(part)) for part in configured.split(",") if part.strip()]


def _load_stored_key() -> str:
    # The data folder's key. A missing key is created only while no secret is stored.
    path = settings.DATA_DIR / KEY_FILE
    # Checked twice: another process may have created the key, and then stored the first secret.
    if not os.path.lexists(path) and (number := _count_values()) and not os.path.lexists(path):
        stored = "a secret is" if number == 1 else f"{number:,} secrets are"
        raise DataFolderError(
            f"The key file {path} is missing, and {stored} stored that no new key can decrypt. Restore the file from a "
            "backup, or set CRONIUM_ENCRYPTION_KEYS to the key that they were encrypted with; all hosts need the same. "
            "If the key is lost, run `python manage.py secrets new-key` and set the value of each secret again."
        )
    return load_or_create_secret(settings.DATA_DIR, KEY_FILE)


def _count_values() -> int:
    return Secret.objects.count() + SealedValue.objects.count()


def make_key() -> bool:
    """Creates the data folder's key even if secrets are stored, which it can't decrypt. False if a key exists."""
    if settings.CONFIG.encryption_keys or os.path.lexists(settings.DATA_DIR / KEY_FILE):
        return False
    load_or_create_secret(settings.DATA_DIR, KEY_FILE)
    return True


def check_keys() -> None:
    """Raises DataFolderError for an unusable key file. Call it at the start, before a user needs the key."""
    _load_keys()


def encrypt(name: str, value: str) -> str:
    """Returns a token bound to `name`, so that rows can't be swapped. DataFolderError without a usable key."""
    return _load_keys()[0].encrypt(f"{name}\0{value}".encode()).decode()


def decrypt(name: str, token: str) -> str:
    """Raises DecryptionError if no key decrypts the token."""
    try:
        owner, _, value = MultiFernet(_load_keys()).decrypt(token.encode()).decode().partition("\0")
    except (InvalidToken, UnicodeError, DataFolderError):
        raise DecryptionError(name) from None
    if owner != name:
        raise DecryptionError(name)
    return value


def reencrypt(name: str, token: str) -> str | None:
    """The token encrypted with the first key; None if it already is. Raises DecryptionError."""
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
