"""Gives a job a limit, as a save does."""

from cronium_admin.jobs.concurrency import normalize_concurrency
from cronium_admin.jobs.models import Job


def limit_job(job: Job, limit: int, key: str = "", when_full: str = "queue") -> Job:
    job.concurrency = normalize_concurrency({"limit": limit, "key": key, "when_full": when_full})
    job.concurrency_limit = limit
    Job.objects.filter(pk=job.pk).update(concurrency=job.concurrency, concurrency_limit=limit)
    return job
