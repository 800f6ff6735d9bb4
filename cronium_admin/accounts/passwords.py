"""Generates passwords, and checks the passwords that users choose."""

import secrets

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from cronium_admin.accounts.models import User

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # no letters that are easily confused
_GROUPS, _LENGTH = 4, 5  # 99 bits


def generate_password() -> str:
    # Four groups of five letters and digits, easy to read aloud
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)) for _ in range(_GROUPS))


def check_password_strength(password: str, user: User) -> None:
    """Raises ValidationError for the field `password` if the password is easy to guess or too long."""
    if len(password) > 1000:
        raise ValidationError({"password": "1,000 characters at most."})
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from error
