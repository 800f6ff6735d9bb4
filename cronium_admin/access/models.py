"""People and their API tokens."""

import hashlib
import secrets
from datetime import datetime

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone

from cronium_admin.access.roles import RANK, May, Role

TOKEN_PREFIX = "crn_"  # noqa: S105 - what every token begins with


class User(AbstractUser):
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)

    def may(self, right: May) -> bool:
        """Whether this person has `right`; a superuser has all, an inactive person none."""
        return self.is_active and (self.is_superuser or RANK[Role(self.role)] >= right)


def digest(token: str) -> str:
    """SHA-256 in hex: a token is 256 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(token.encode()).hexdigest()


class ApiToken(models.Model):
    """A bearer token. Only its digest is kept; the token is shown once, when it is made."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def mint(cls, user: User, name: str, expires_at: datetime | None = None) -> tuple["ApiToken", str]:
        """A new token for `user`: the row, and the token itself, which nothing can show again."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = cls.objects.create(user=user, name=name, prefix=token[:10], digest=digest(token), expires_at=expires_at)
        return row, token
