"""The ping URL of a check."""

from django.http import HttpRequest
from django.urls import reverse

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.expectations.check_models import Check


def build_ping_url(request: HttpRequest, user: User, check: Check) -> str | None:
    """None for a user who may not edit the check: a client that has the URL can report that all is well."""
    if not can(user, Permission.EDIT, check):
        return None
    return request.build_absolute_uri(reverse("ping", args=[check.ping_key]))
