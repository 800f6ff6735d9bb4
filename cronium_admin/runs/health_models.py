"""What the ended runs of a job say about it; `job_health` keeps these rows."""

from django.db import models

from cronium_admin.jobs.models import Job


class JobHealth(models.Model):
    """The counted ends of a job's runs, in the order in which they were stored. A job without one has no row.

    A run that was deleted since leaves a null; its status and times stay.
    """

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, related_name="health")
    last_run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    last_status = models.CharField(max_length=16)
    last_ended_at = models.DateTimeField()
    last_seconds = models.FloatField(null=True)  # how long its script ran; null: it did not start
    failures = models.PositiveIntegerField(default=0)  # in a row, up to the last run
    failing_since = models.DateTimeField(null=True)  # when the first of them ended; null: the last run succeeded
    last_good = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    last_good_at = models.DateTimeField(null=True)  # when it ended; null: no success is known

    class Meta:
        indexes = [
            models.Index(fields=["-failures"], name="job_health_failing", condition=models.Q(failures__gt=0)),
            # For the deletion of runs.
            models.Index(fields=["last_run"], name="job_health_of_last_run"),
            models.Index(fields=["last_good"], name="job_health_of_last_good"),
        ]

    def __str__(self) -> str:
        return f"the job {self.job_id}: {self.failures} failures in a row"

    @property
    def is_failing(self) -> bool:
        return self.failures > 0
