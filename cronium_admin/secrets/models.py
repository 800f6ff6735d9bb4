"""Secrets: named values, stored encrypted, that only runs receive."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, Project
from cronium_admin.accounts.projects import InProject
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.core.edit_versions import Edited
from cronium_admin.core.env_names import find_env_name_problem


def validate_name(value: str) -> None:
    if problem := find_env_name_problem(value):
        raise ValidationError(problem, code="name")


class Secret(Edited, InProject):
    """`name` is also the name of the environment variable. The value is never shown, not even to its author."""

    name = models.CharField(max_length=128, validators=[validate_name])
    encrypted = models.TextField(editable=False)
    description = models.CharField(max_length=200, blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=database_now)
    value_changed_at = models.DateTimeField(db_default=Now())
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="secret_once_per_project")]

    def __str__(self) -> str:
        return self.name


class RetiredSecret(models.Model):
    """A replaced or deleted value, stored while a run may still print it, so that its log can be masked.

    `retired_at` is the database's time.
    """

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, default=DEFAULT_PROJECT_ID, related_name="+", db_index=False
    )
    name = models.CharField(max_length=128)
    encrypted = models.TextField(editable=False)
    retired_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.name


class SealedValue(models.Model):
    """An encrypted value of another room; see `sealed`."""

    name = models.CharField(max_length=300, unique=True)
    encrypted = models.TextField(editable=False)

    def __str__(self) -> str:
        return self.name
