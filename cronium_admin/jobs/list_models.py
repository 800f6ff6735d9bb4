"""What users keep for the list of jobs: their pins."""

from django.conf import settings
from django.db import models

from cronium_admin.core.database.clock import Now


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
