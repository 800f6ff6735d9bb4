"""Variables that scripts share between runs, their history, and receipts of completed writes."""

import json
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower

from cronium_admin.accounts.projects import InProject
from cronium_admin.core.database.clock import Now
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run


class Variable(InProject):
    """A named JSON value of one job, or of all jobs of the project if `job` is empty.

    `text` is JSON text, so that every database returns exactly the stored value (a database's own JSON type may turn
    1e22 into an integer). It is NULL if the variable has no value; the row is kept for its history.
    """

    job = models.ForeignKey(Job, null=True, on_delete=models.CASCADE, related_name="variables")
    name = models.CharField(max_length=128)
    text = models.TextField(null=True)
    version = models.PositiveBigIntegerField(default=1)  # incremented by every change
    # The last change, as in its history.
    changed_at = models.DateTimeField(db_default=Now())
    changed_by = models.CharField(max_length=200)  # a user's name, or "slug #7"; kept when the user or run is deleted
    changed_run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["job", "name"], condition=models.Q(job__isnull=False), name="variable_once_per_job"
            ),
            models.UniqueConstraint(
                fields=["project", "name"], condition=models.Q(job__isnull=True), name="variable_once_shared"
            ),
        ]
        indexes = [models.Index(Lower("name"), "id", name="variable_by_lower_name")]

    def __str__(self) -> str:
        return f"{self.job.slug if self.job else 'shared'}/{self.name}"

    @property
    def value(self) -> Any:
        return None if self.text is None else json.loads(self.text)


class Kind(models.TextChoices):
    SET = "set", "Set"
    INCREMENT = "increment", "Incremented"
    DELETE = "delete", "Deleted"


class Change(models.Model):
    """A change of a variable. `text` is the new value's JSON, truncated if long; empty for a deletion."""

    variable = models.ForeignKey(Variable, on_delete=models.CASCADE, related_name="changes")
    version = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    text = models.TextField(blank=True)
    is_cut = models.BooleanField(default=False)
    at = models.DateTimeField(db_default=Now())
    by = models.CharField(max_length=200)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["variable", "version"], name="change_once_per_version")]

    def __str__(self) -> str:
        return f"{self.kind} {self.version}"


class Receipt(models.Model):
    """A completed write of a run: a repeated write with the same key returns the same answer and has no effect."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=128)
    what = models.CharField(max_length=200)  # the operation, its key, and a digest of the value
    answer = models.TextField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="receipt_once_per_run")]

    def __str__(self) -> str:
        return f"{self.what} ({self.key})"
