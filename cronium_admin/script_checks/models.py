"""Checks of script texts: requested in the editor or over the API, made by one host, answered in rows."""

from typing import Any

from django.conf import settings
from django.db import models

from cronium_admin.core.database.clock import Now
from cronium_admin.images.models import Language


class Action(models.TextChoices):
    CHECK = "check", "Check"
    FORMAT = "format", "Format"


class ScriptCheck(models.Model):
    """One text and what the tools say about it. `service` requests and answers it."""

    # SHA-256 of the tools with their settings, the action, the language and the text: equal texts are checked once.
    digest = models.CharField(max_length=64, unique=True)
    action = models.CharField(max_length=8, choices=Action.choices)
    language = models.CharField(max_length=16, choices=Language.choices)
    text = models.TextField(blank=True)  # empty as soon as it is answered
    requested_at = models.DateTimeField(db_default=Now())
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    host = models.CharField(max_length=100, blank=True, default="")  # that makes it; empty until one does
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    problems: Any = models.JSONField(default=list)  # as `findings.Problem`
    is_cut = models.BooleanField(default=False)  # the tools found more problems than are stored
    formatted = models.TextField(null=True)
    message = models.CharField(max_length=500, blank=True, default="")  # why there is no answer

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="script_check_open", condition=models.Q(finished_at=None)),
            models.Index(fields=["requested_by", "requested_at"], name="script_check_by"),
        ]

    def __str__(self) -> str:
        return f"{self.action} of {self.digest[:12]}"
