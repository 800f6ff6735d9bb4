"""Checks on crons that run elsewhere, and the pings that they send."""

import uuid

from django.db import models

from cronium_admin.accounts.projects import InProject
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.core.edit_versions import Edited


class Rhythm(models.TextChoices):
    """When the next ping is expected."""

    PERIOD = "period", "A time after the last"
    CRON = "cron", "By a cron rule"


class Status(models.TextChoices):
    NEW = "new", "New"
    UP = "up", "Up"
    DOWN = "down", "Down"


class PingKind(models.TextChoices):
    SUCCESS = "success", "Success"
    START = "start", "Start"
    FAIL = "fail", "Failure"
    LOG = "log", "Log"


class Check(InProject, Edited):
    """A cron elsewhere that requests the URL of the check. A client that knows `ping_key` can send pings.

    `expected_at` is when the next ping should come, `due_at` when the check counts as down; both follow from the last
    ping and the rule.
    """

    name = models.CharField(max_length=120)
    ping_key = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    rhythm = models.CharField(max_length=8, choices=Rhythm.choices, default=Rhythm.PERIOD)
    period_seconds = models.PositiveIntegerField(null=True, blank=True)
    rule = models.CharField(max_length=500, blank=True, default="")
    timezone = models.CharField(max_length=64, default="UTC")
    grace_seconds = models.PositiveIntegerField(default=300)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=database_now)

    status = models.CharField(max_length=8, choices=Status.choices, default=Status.NEW)
    ping_count = models.PositiveBigIntegerField(default=0)
    last_ping_at = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)  # the last start without an end
    expected_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    # Pings of the current minute, for the limit.
    minute_at = models.DateTimeField(null=True)
    minute_count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["name", "id"]
        indexes = [
            models.Index(fields=["due_at"], name="check_due", condition=models.Q(enabled=True, due_at__isnull=False))
        ]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="check_name_once_per_project")]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """`paused`, `new`, `up`, `late` (in its grace) or `down`."""
        if not self.enabled:
            return "paused"
        is_late = self.status != Status.DOWN and self.expected_at is not None and self.expected_at < database_now()
        return "late" if is_late else self.status


class Ping(models.Model):
    """One request of a check's URL. The last 100 of a check are kept."""

    # Not named `check`, which is a method of Django's models.
    of = models.ForeignKey(Check, on_delete=models.CASCADE, related_name="pings", db_index=False)
    number = models.PositiveBigIntegerField()  # counts the check's pings from 1
    at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=8, choices=PingKind.choices)
    exit_code = models.PositiveSmallIntegerField(null=True)
    run_id = models.UUIDField(null=True)  # the sender's id of a run, which joins its start and its end
    duration_ms = models.PositiveBigIntegerField(null=True)
    method = models.CharField(max_length=8)
    user_agent = models.CharField(max_length=200, blank=True, default="")
    body = models.TextField(blank=True, default="")
    body_bytes = models.PositiveIntegerField(default=0)  # as sent; more than stored if the body was cut

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["of", "number"], name="ping_number_once_per_check")]

    def __str__(self) -> str:
        return f"{self.kind} #{self.number}"
