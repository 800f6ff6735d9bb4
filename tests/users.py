"""The user that tests act as when the role is of no interest."""

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Role


def get_admin() -> User:
    """The user "admin" of the fixture `people`."""
    return User.objects.get_or_create(username="admin", defaults={"role": Role.ADMIN})[0]
