"""What users keep for the list of jobs: pins and saved views."""

from django.conf import settings
from django.db import models

from cronium_admin.accounts.models import Project
from cronium_admin.core.database.clock import Now
from cronium_admin.core.edit_versions import Edited


class JobPin(models.Model):
    """A job that a user keeps at hand."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="job_pins", db_index=False
    )
    job = models.ForeignKey("jobs.Job", on_delete=models.CASCADE, related_name="pins")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "job"], name="job_pin_once_per_user")]

    def __str__(self) -> str:
        return f"pin of job {self.job_id}"


class JobView(Edited):
    """A filter and order of the list under a name: of one user (`owner`) or of a team (`project`)."""

    name = models.CharField(max_length=60)
    query = models.JSONField(default=dict)  # as `JobFilter.to_query` writes it
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="job_views")
    project = models.ForeignKey(Project, null=True, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(owner__isnull=True) ^ models.Q(project__isnull=True), name="job_view_has_one_owner"
            ),
            models.UniqueConstraint(fields=["owner", "name"], name="job_view_name_once_per_user"),
            models.UniqueConstraint(fields=["project", "name"], name="job_view_name_once_per_project"),
        ]

    def __str__(self) -> str:
        return f"the view {self.name}"


class JobViewDefault(models.Model):
    """The view that the page of jobs shows a user first."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")
    view = models.ForeignKey(JobView, on_delete=models.CASCADE, related_name="+")

    def __str__(self) -> str:
        return f"default view of user {self.user_id}"
