"""Encrypted values of other rooms, such as a registry's password: write-only, one row per owner.

The name is bound into the ciphertext. It says for what the value may be used, such as `registry:ghcr.io/acme`: so a
value can't be moved to another address.
"""

from cronium_admin.core.data_folder import DataFolderError
from cronium_admin.core.errors import ApiError
from cronium_admin.secrets.crypto import decrypt, encrypt
from cronium_admin.secrets.models import SealedValue


def seal_value(name: str, value: str) -> None:
    """Stores or replaces the value. Raises ApiError 503 without a usable key."""
    try:
        token = encrypt(name, value)
    except DataFolderError as error:
        raise ApiError(503, "key_unusable", str(error)) from None
    SealedValue.objects.update_or_create(name=name, defaults={"encrypted": token})


def open_value(name: str) -> str | None:
    """None if there is no value. Raises DecryptionError if no key decrypts it."""
    token = SealedValue.objects.filter(name=name).values_list("encrypted", flat=True).first()
    return None if token is None else decrypt(name, token)


def has_value(name: str) -> bool:
    return SealedValue.objects.filter(name=name).exists()


def list_sealed(names: list[str]) -> set[str]:
    """Which of the names have a value."""
    return set(SealedValue.objects.filter(name__in=names).values_list("name", flat=True))


def delete_value(name: str) -> None:
    SealedValue.objects.filter(name=name).delete()
