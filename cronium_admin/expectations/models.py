"""Incidents, and what the judge knows of the jobs that it watches."""

from django.db import models

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID
from cronium_admin.accounts.projects import InProject
from cronium_admin.core.database.clock import Now
from cronium_admin.expectations.check_models import Check, Ping
from cronium_admin.jobs.expected_by import ExpectedBy
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import Schedule


class Kind(models.TextChoices):
    START_BY = "start_by", "Start is late"
    FINISH_BY = "finish_by", "End is late"
    SUCCEED_EVERY = "succeed_every", "No success"
    PING = "ping", "Check is down"


class Closing(models.TextChoices):
    """Why an incident is closed."""

    FULFILLED = "fulfilled", "Fulfilled"
    ENDED = "ended", "The run ended without a start"
    CHANGED = "changed", "The setting was changed"
    REMOVED = "removed", "The setting was removed"
    DISABLED = "disabled", "It was disabled"


__all__ = ["Check", "Closing", "Incident", "JudgeBeat", "Kind", "Ping", "Watch"]
OPEN = models.Q(closed_at__isnull=True)


class Incident(InProject):
    """Something expected of a job or a check did not come in time. The constraints allow one open incident of a kind
    for each, and one for each deadline of a job, so that any number of judges may open incidents.
    """

    job = models.ForeignKey(Job, null=True, on_delete=models.CASCADE, related_name="incidents", db_index=False)
    of_check = models.ForeignKey(Check, null=True, on_delete=models.CASCADE, related_name="incidents", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    expected_from = models.DateTimeField()  # the planned time, the launch, or the last success
    due_at = models.DateTimeField()  # the deadline that passed
    opened_at = models.DateTimeField(db_default=Now())
    reason = models.CharField(max_length=500)
    schedule = models.ForeignKey(Schedule, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)  # that is late
    closed_at = models.DateTimeField(null=True)
    closing = models.CharField(max_length=12, choices=Closing.choices, blank=True, default="")
    closing_text = models.CharField(max_length=500, blank=True, default="")
    closed_by = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)

    class Meta:
        ordering = ["-opened_at", "-id"]
        indexes = [
            models.Index(fields=["-opened_at", "-id"], name="incident_newest"),
            models.Index(
                fields=["project", "-opened_at", "-id"],
                name="incident_of_project_newest",
                condition=~models.Q(project=DEFAULT_PROJECT_ID),
            ),
            models.Index(fields=["-opened_at", "-id"], name="incident_open_newest", condition=OPEN),
            # For the deletion of runs, schedules and checks.
            models.Index(
                fields=["of_check", "-opened_at"], name="incident_of_check", condition=models.Q(of_check__isnull=False)
            ),
            models.Index(fields=["run"], name="incident_of_run", condition=models.Q(run__isnull=False)),
            models.Index(fields=["closed_by"], name="incident_closed_by", condition=models.Q(closed_by__isnull=False)),
            models.Index(fields=["schedule"], name="incident_of_schedule", condition=models.Q(schedule__isnull=False)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["job", "kind"], name="incident_open_once_per_kind", condition=OPEN),
            models.UniqueConstraint(fields=["job", "kind", "due_at"], name="incident_once_per_deadline"),
            models.UniqueConstraint(fields=["of_check"], name="incident_open_once_per_check", condition=OPEN),
            models.CheckConstraint(
                condition=models.Q(job__isnull=True, of_check__isnull=False)
                | models.Q(job__isnull=False, of_check__isnull=True),
                name="incident_of_job_or_check",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {f'the job {self.job_id}' if self.job_id else f'the check {self.of_check_id}'}"

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


class Watch(ExpectedBy):
    """A job that is watched, with its settings as the judge last saw them. The judge alone writes these rows.

    Nothing before `since_at` is judged. `success_base_at` is the last known success, or the time since which successes
    are expected. `success_due_at` follows from it; the true last success may be later.
    """

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, related_name="watch")
    since_at = models.DateTimeField()
    success_base_at = models.DateTimeField()
    success_due_at = models.DateTimeField(null=True, db_index=True)  # null: no success is expected

    def __str__(self) -> str:
        return f"the job {self.job_id}"


class JudgeBeat(models.Model):
    """When a process last judged, and the last time that none did for long. One row."""

    judged_at = models.DateTimeField()
    down_from = models.DateTimeField(null=True)
    down_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.judged_at:%Y-%m-%dT%H:%M:%SZ}"
