"""Restores the settings of an earlier revision of a job, as a new revision."""

from copy import copy
from decimal import Decimal
from typing import Any

from django.db.models import F

from cronium_admin.accounts.models import User
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.job_fields import JOB_FIELDS
from cronium_admin.jobs.models import Job, JobRevision
from cronium_admin.jobs.service import save_job
from cronium_admin.profiles.models import Profile

# To restore them would break URLs, or start a job that was disabled on purpose.
NEVER_RESTORED = frozenset({"slug", "enabled"})


def find_revision(job: Job, number: int) -> JobRevision:
    row = job.revisions.select_related("script").filter(number=number).first()
    if row is None:
        raise ApiError(404, "not_found", f"The job {job.slug} has no revision {str(number)[:20]}.")
    return row


def _find_current_profile(job: Job) -> str | None:
    # The name that the profile had when the job was saved last
    settings = JobRevision.objects.filter(job=job.pk, number=F("job__revision")).first()
    return settings.values.get("profile") if settings else None


def _collect_restored(row: JobRevision) -> dict[str, Any]:
    data = {name: value for name, value in row.values.items() if name in JOB_FIELDS - NEVER_RESTORED}
    if data.get("cpu") is not None:
        data["cpu"] = Decimal(str(data["cpu"]))
    return data


def build_restored_job(job: Job, number: int) -> Job:
    """A copy of the job with the settings that `restore_revision` would save, unchecked and not stored.

    A profile that does not exist any more is left out. Raises ApiError 404 for an unknown number.
    """
    row, shown = find_revision(job, number), copy(job)
    data = _collect_restored(row)
    profile = Profile.objects.filter(name=data.pop("profile", "")).first()
    for name, value in {**data, "script": row.script.text, "profile": profile or job.profile}.items():
        setattr(shown, name, value)
    return shown


def restore_revision(job: Job, number: int, by: User, revision: int | None = None) -> Job:
    """Saves the settings of the revision, except slug and enabled; of a partial revision, those that it has.

    Returns the stored job, without a new revision if nothing changed. Raises the errors of `save_job`, and ApiError
    404 for an unknown number.
    """
    row = find_revision(job, number)
    data = _collect_restored(row)
    if "profile" in data and data["profile"] == _find_current_profile(job):
        del data["profile"]  # the job has this profile, even if it was renamed since then
    return save_job(job, {**data, "script": row.script.text}, by, revision, restored_from=row.number)
