"""Pins: the jobs that a user keeps at hand. Every user who sees a job may pin it."""

from collections.abc import Iterable

from cronium_admin.accounts.models import User
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.list_models import JobPin
from cronium_admin.jobs.models import Job

MAX_PINS = 200


def set_pin(user: User, job: Job, is_pinned: bool) -> None:
    """Pins or unpins; repeating it changes nothing. ApiError 409 if the user has MAX_PINS pins already."""
    pins = JobPin.objects.filter(user=user)
    if not is_pinned:
        pins.filter(job=job).delete()
    elif not pins.filter(job=job).exists():
        if pins.count() >= MAX_PINS:
            raise ApiError(409, "too_many_pins", f"You have {MAX_PINS} pins. Unpin another job first.")
        JobPin.objects.get_or_create(user=user, job=job)


def find_pinned(user: User, jobs: Iterable[Job]) -> set[int]:
    """The ids of those of `jobs` that `user` has pinned."""
    ids = [job.pk for job in jobs]
    return set(JobPin.objects.filter(user=user, job__in=ids).values_list("job_id", flat=True)) if ids else set()


def list_pinned_ids(user: User) -> list[int]:
    """The ids of all jobs that `user` has pinned, the first pin first. The caller reads them with `visible_to`."""
    return list(JobPin.objects.filter(user=user).order_by("at", "pk").values_list("job_id", flat=True))
