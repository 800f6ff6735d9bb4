"""Passwords: generated ones, and what is asked of those that people choose."""

import secrets

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from cronium_admin.accounts.models import User

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another
_GROUPS, _LENGTH = 4, 5  # 99 bits


def generate_password() -> str:
    """A password for reading out: four groups of five letters and digits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)) for _ in range(_GROUPS))


def check_password_strength(password: str, user: User) -> None:
    """ValidationError by the field `password`, when it is too easy to guess."""
    if len(password) > 1000:
        raise ValidationError({"password": "1,000 characters at most."})
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from error
