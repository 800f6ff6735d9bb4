"""Acts on many jobs at once: each job by itself, with the rights and checks of a single act."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import models

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permission_messages import explain_refusal
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.edit_versions import EditConflict
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import save_job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.triggers import Trigger

MAX_JOBS: Final = 500
_ATTEMPTS = 3  # to save a job that others save at the same time


class Act(models.TextChoices):
    ENABLE = "enable", "Enable"
    DISABLE = "disable", "Disable"
    RUN = "run", "Run"
    ADD_TAG = "add_tag", "Add a tag"
    REMOVE_TAG = "remove_tag", "Remove a tag"


TAG_ACTS = (Act.ADD_TAG, Act.REMOVE_TAG)


@dataclass(frozen=True)
class JobResult:
    """`refused` says why nothing was done; without it, `is_changed` says whether anything had to be done."""

    job: Job
    is_changed: bool = False
    refused: str = ""
    run: Run | None = None


def get_permission(act: str) -> Permission:
    return Permission.RUN if act == Act.RUN else Permission.EDIT


def find_refusal(user: User, job: Job, act: str) -> str:
    """Why `user` can't do `act` on the job, as far as it is known before; empty: nothing is known against it."""
    permission = get_permission(act)
    if not can(user, permission, job):
        return explain_refusal(user, permission, job)
    return "It is disabled." if act == Act.RUN and not job.enabled else ""


def find_sameness(job: Job, act: str, tag: str) -> str:
    """Says that the job has the state that `act` would set; else empty."""
    if act == Act.RUN:
        return ""
    is_same = all(getattr(job, name) == value for name, value in _make_change(job, act, tag).items())
    return "Nothing to change." if is_same else ""


def read_jobs(user: User, ids: list[int]) -> list[Job]:
    """In the order of `ids`, at most one more than MAX_JOBS, without those that the user does not see."""
    ids = list(dict.fromkeys(ids))[: MAX_JOBS + 1]
    rows = Job.objects.visible_to(user).filter(pk__in=ids).select_related("profile")
    found = {job.pk: job for job in rows}
    return [found[pk] for pk in ids if pk in found]


def apply_to_jobs(
    user: User, jobs: list[Job], act: str, tag: str = "", key: str = "", trigger: str = Trigger.MANUAL
) -> list[JobResult]:
    """In the order of `jobs`; each in a transaction of its own, so that a refused one delays no other.

    Repeating an act changes nothing that has the wanted state already; a run is not launched twice with the same `key`.
    Raises ApiError 422 for more than MAX_JOBS.
    """
    if len(jobs) > MAX_JOBS:
        raise ApiError(422, "too_many_jobs", f"{len(jobs):,} jobs; at most {MAX_JOBS} at once. Narrow the filter.")
    if act == Act.RUN:
        return [_launch_job(user, job, key, trigger) for job in jobs]
    return [_change_job(user, job, act, tag) for job in jobs]


def _launch_job(user: User, job: Job, key: str, trigger: str) -> JobResult:
    if refusal := find_refusal(user, job, Act.RUN):
        return JobResult(job, refused=refusal)
    try:
        run = launch(job, user, trigger=trigger, idempotency_key=f"{key}-{job.pk}" if key else "")
        return JobResult(job, is_changed=True, run=run)
    except (ApiError, ValidationError) as error:
        return JobResult(job, refused=_describe_error(error))


def _change_job(user: User, job: Job, act: str, tag: str) -> JobResult:
    if refusal := find_refusal(user, job, act):
        return JobResult(job, refused=refusal)
    try:
        return JobResult(job, is_changed=_save_change(user, job, lambda stored: _make_change(stored, act, tag)))
    except (ApiError, ValidationError) as error:
        return JobResult(job, refused=_describe_error(error))


def _describe_error(error: ApiError | ValidationError) -> str:
    return error.message if isinstance(error, ApiError) else " ".join(error.messages)


def _make_change(job: Job, act: str, tag: str) -> dict[str, Any]:
    if act in (Act.ENABLE, Act.DISABLE):
        return {"enabled": act == Act.ENABLE}
    others = [each for each in job.tags if each != tag]
    if act == Act.REMOVE_TAG:
        return {"tags": others}
    return {"tags": job.tags if tag in job.tags else [*job.tags, tag]}


def _save_change(user: User, job: Job, make_change: Callable[[Job], dict[str, Any]]) -> bool:
    # The change follows from the stored job: if another user saves it in between, it is made again
    for attempt in range(_ATTEMPTS):
        before = job.revision
        try:
            return save_job(job, make_change(job), user, before).revision != before
        except EditConflict as error:
            if attempt == _ATTEMPTS - 1:
                raise
            job = error.stored
    raise AssertionError
